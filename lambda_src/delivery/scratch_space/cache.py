"""Large file in S3 → /tmp, encrypted: downloaded once for each environment, however often it is read.

`/tmp` belongs to one environment and stays while that is frozen. It also stays after a crash or a timeout,
when Lambda initialises the environment again. So a part of a download may be there: a file gets its name when
it is complete. And nothing empties `/tmp`: the files that were not read for the longest time make room.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

import errno
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .vault import OVERHEAD, Damaged, Vault

# Each piece is encrypted on its own, so that reading one does not take decrypting the file.
PIECE_BYTES = 64 * 1024
_LONGEST_HEADER = 1024  # a data key that KMS encrypted has 184 bytes


class TooLarge(Exception):
    """The file does not fit; the message says what to change."""


class NoSuchFile(Exception):
    """S3 does not have the file, or not this version of it."""


@dataclass(frozen=True)
class LargeFile:
    """One version of an object: its content never changes."""

    key: str
    version: str
    size: int

    @property
    def pieces(self) -> int:
        """The number of its pieces."""
        return -(-self.size // PIECE_BYTES)

    def name(self, piece: int) -> str:
        """What a piece is sealed under."""
        return f"{self.key} {self.version} {piece}/{self.pieces}"


class Cache:
    """The files in `/tmp`.

    Args:
        s3: A client of S3.
        bucket: The bucket of the files, with versioning.
        vault: Encrypts them.
        folder: A folder below `/tmp`.
        max_bytes: How large they may be together.
    """

    def __init__(self, s3: Any, bucket: str, vault: Vault, folder: Path, max_bytes: int) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._vault = vault
        self._folder = folder
        self._max_bytes = max_bytes
        self.downloads = 0
        folder.mkdir(parents=True, exist_ok=True)
        for cut_off in folder.glob("*.part"):
            cut_off.unlink()

    def newest(self, key: str) -> LargeFile:
        """Return the newest version of a file.

        Raises:
            NoSuchFile: There is none that this function can read, or the bucket is not versioned.
        """
        try:
            head = self._s3.head_object(Bucket=self._bucket, Key=key)
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] not in ("403", "404"):
                raise
            raise NoSuchFile(
                f"{key}: it is not in the bucket, or this function may not read it: {error}"
            ) from None
        if head.get("VersionId", "null") == "null":
            raise NoSuchFile(f"{key}: this object has no version; turn on versioning, and store it again")
        return LargeFile(key, head["VersionId"], head["ContentLength"])

    def piece(self, file: LargeFile, number: int) -> bytes:
        """Return a piece of a file, which is downloaded if it is not in `/tmp`, or damaged there.

        Raises:
            TooLarge: It does not fit into `/tmp`.
            NoSuchFile: This version has been deleted.
        """
        try:
            return self._read(file, number)
        except (FileNotFoundError, Damaged):
            self._download(file)
        return self._read(file, number)

    def _read(self, file: LargeFile, number: int) -> bytes:
        path = self._path(file)
        with path.open("rb") as stored:
            key = self._vault.key_in(stored.read(_LONGEST_HEADER))
            stored.seek(len(key.header) + number * (PIECE_BYTES + OVERHEAD))
            piece = key.open(stored.read(PIECE_BYTES + OVERHEAD), file.name(number))
        path.touch()  # the least recently used file is the one with the oldest time
        return piece

    def _download(self, file: LargeFile) -> None:
        """Download a file; what was not read for the longest time makes room for it."""
        size = file.size + file.pieces * OVERHEAD
        if size > self._max_bytes:
            raise TooLarge(
                f"{file.key}: {size:,} bytes, and the cache may hold {self._max_bytes:,}; raise cache_size "
                "and ephemeral_storage_size (10,240 MB at most), or read the file in ranges"
            )
        while size > self._max_bytes - sum(one.stat().st_size for one in self._files()):
            self._evict()
        while True:
            try:
                self._store(file)
                return
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                # Something else has filled /tmp.
                if not self._evict():
                    raise TooLarge(f"{file.key}: /tmp has no room for its {size:,} bytes") from error

    def _store(self, file: LargeFile) -> None:
        path = self._path(file)
        part = path.with_suffix(".part")
        key = self._vault.new_key()
        body = self._open(file)
        try:
            with part.open("wb") as stored:
                stored.write(key.header)
                for number in range(file.pieces):
                    piece = body.read(PIECE_BYTES)
                    if len(piece) != min(PIECE_BYTES, file.size - number * PIECE_BYTES):
                        raise ConnectionError(f"{file.key}: the download ended in piece {number}")
                    stored.write(key.seal(piece, file.name(number)))
        except BaseException:
            part.unlink(missing_ok=True)
            raise
        part.rename(path)
        self.downloads += 1

    def _open(self, file: LargeFile) -> Any:
        try:
            where = {"Bucket": self._bucket, "Key": file.key, "VersionId": file.version}
            return self._s3.get_object(**where)["Body"]
        except self._s3.exceptions.ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchVersion":
                raise
            raise NoSuchFile(f"{file.key}: version {file.version} has been deleted") from None

    def _files(self) -> list[Path]:
        return sorted(self._folder.iterdir(), key=lambda one: one.stat().st_mtime)

    def _evict(self) -> bool:
        """Delete the least recently used file; return whether there was one."""
        for oldest in self._files()[:1]:
            oldest.unlink()
            return True
        return False

    def _path(self, file: LargeFile) -> Path:
        return self._folder / hashlib.sha256(f"{file.key} {file.version}".encode()).hexdigest()
