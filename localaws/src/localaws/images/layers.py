"""Layers: the files that an instruction adds, as a deterministic tar archive.

The same files give the same digest: entries are sorted, times are zero, and nothing depends on this machine.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import posixpath
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

MEDIA_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"
_FOLDER_MODE = 0o755


@dataclass(frozen=True)
class Entry:
    """A file, a folder or a symbolic link of an image.

    Attributes:
        kind: That of `tarfile`.
        mode: The permissions.
        data: The content of a file.
        link: The target of a link.
        owner: User and group.
    """

    kind: bytes
    mode: int
    data: bytes = b""
    link: str = ""
    owner: tuple[int, int] = (0, 0)

    def with_(self, *, mode: int | None, owner: tuple[int, int] | None) -> Entry:
        """The entry with other permissions or another owner."""
        return replace(self, mode=self.mode if mode is None else mode, owner=owner or self.owner)


#: Path without a leading slash → entry.
Tree = dict[str, Entry]

FOLDER = Entry(tarfile.DIRTYPE, _FOLDER_MODE)


@dataclass(frozen=True)
class Layer:
    """A compressed layer: its digest, that of the uncompressed archive, and its bytes."""

    digest: str
    diff_id: str
    data: bytes

    def descriptor(self) -> dict[str, object]:
        """How a manifest names it."""
        return {"mediaType": MEDIA_TYPE, "digest": self.digest, "size": len(self.data)}


def entry_of(file: Path) -> Entry:
    """The entry of a file, a folder or a link on this machine."""
    mode = file.lstat().st_mode & 0o7777
    if file.is_symlink():
        return Entry(tarfile.SYMTYPE, 0o777, link=str(file.readlink()))
    if file.is_dir():
        return Entry(tarfile.DIRTYPE, mode)
    return Entry(tarfile.REGTYPE, mode, file.read_bytes())


def text_file(text: str, mode: int = 0o644) -> Entry:
    """The entry of a file with this text."""
    return Entry(tarfile.REGTYPE, mode, text.encode())


def with_parents(tree: Tree, existing: Mapping[str, Entry]) -> Tree:
    """The tree with the folders above its entries that do not exist yet."""
    parents: Tree = {}
    for path in tree:
        while (path := posixpath.dirname(path)) and path not in existing and path not in tree:
            parents[path] = FOLDER
    return parents | tree


def pack(tree: Tree) -> Layer:
    """The layer with these entries."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path, entry in sorted(tree.items()):
            info = tarfile.TarInfo(path)
            info.type, info.mode, info.linkname = entry.kind, entry.mode, entry.link
            info.uid, info.gid = entry.owner
            info.size = len(entry.data)
            archive.addfile(info, io.BytesIO(entry.data))
    data = gzip.compress(raw.getvalue(), mtime=0)
    return Layer(digest(data), digest(raw.getvalue()), data)


def digest(data: bytes) -> str:
    """The digest by which registries name it."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
