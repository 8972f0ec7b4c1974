"""Compares the table with an S3 Inventory of the bucket instead of a listing.

An inventory is up to days old, and in no order that S3 promises. So it takes two passes: each object of the
inventory is compared with its row; then each row that is older than the inventory is looked at, because it
may be about an object that is gone. What an inventory says is never written: where a row differs, the object
is looked at. What happened after the inventory was made is left to the events and to the next inventory.

Listing is the cheaper and mostly the faster way, for a thousand keys come with one call and in the order of
the table. The inventory asks for each row and for each object: choose it where listing is not wanted.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

import csv
import gzip
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_plus

from botocore.exceptions import ClientError
from bucket import in_utc
from objects import Listed, Rows
from reconcile import CannotCompare, Doubt, NothingToCompare, Step

from shared.clients import Client

_FOLDER = re.compile(r"/\d{4}-\d\d-\d\dT\d\d-\d\dZ/$")
_NEEDED = {"Key", "Size", "LastModifiedDate", "ETag", "StorageClass"}


class InventoryUnusable(CannotCompare):
    """The inventory cannot be read; the message says what to configure."""


class Inventory:
    """Compares the table with the newest inventory.

    Args:
        s3: A client of S3.
        bucket: Where the inventories are.
        place: What the keys of their manifests start with, without a slash at the end.
        rows: The table.
        follows: Whether objects with a key have rows.
        prefix: What the keys of these start with.
    """

    def __init__(
        self, s3: Client, bucket: str, place: str, rows: Rows, *, follows: Callable[[str], bool], prefix: str
    ) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._place = place
        self._rows = rows
        self._follows = follows
        self._prefix = prefix

    def steps(self, cursor: str) -> Iterator[Step]:
        """Go on after a cursor: an inventory with a file and a line of it, or with a key of the table."""
        at: dict[str, Any] = {"file": 0, "line": 0}
        at |= json.loads(cursor) if cursor else {"manifest": self._newest()}
        manifest = self._read_manifest(at["manifest"])
        if "key" not in at:
            yield from self._objects(at, manifest)
        made = in_utc(datetime.fromtimestamp(int(manifest["creationTimestamp"]) / 1000, UTC))
        for key, row in self._rows.walk(after=at.get("key", ""), prefix=self._prefix):
            if self._follows(key):
                old = row.object is not None and row.object.last_modified < made
                yield Step(json.dumps({**at, "key": key}), Doubt(key, row) if old else None)

    def _objects(self, at: dict[str, Any], manifest: dict[str, Any]) -> Iterator[Step]:
        columns = [name.strip() for name in manifest["fileSchema"].split(",")]
        for number, file in enumerate(manifest["files"]):
            if number < at["file"]:
                continue
            done = at["line"] if number == at["file"] else 0
            for line, values in enumerate(self._lines(file), 1):
                one = dict(zip(columns, values, strict=True))
                key = unquote_plus(one["Key"])
                if line > done and self._follows(key) and _is_current(one):
                    cursor = json.dumps({**at, "file": number, "line": line})
                    yield Step(cursor, Doubt(key, described=_described(key, one)))

    def _lines(self, file: dict[str, Any]) -> Iterator[list[str]]:
        """Read a data file as a stream; what it is made of is verified at its end."""
        body = _Verified(self._s3.get_object(Bucket=self._bucket, Key=file["key"])["Body"])
        with gzip.open(io.BufferedReader(body), "rt", encoding="utf-8", newline="") as lines:
            yield from csv.reader(lines)
        if body.md5.hexdigest() != file["MD5checksum"]:
            raise InventoryUnusable(f"{file['key']}: not what its manifest says; wait for the next inventory")

    def _newest(self) -> str:
        """Return the key of the newest manifest that is complete: its checksum is written last."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=f"{self._place}/", Delimiter="/"
        )
        folders = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
        for folder in sorted(filter(_FOLDER.search, folders), reverse=True):
            if self._read(f"{folder}manifest.checksum") is not None:
                return f"{folder}manifest.json"
        raise NothingToCompare(
            f"no inventory below s3://{self._bucket}/{self._place}/ yet: the first takes up to two days; "
            "after that, compare the configuration's destination"
        )

    def _read_manifest(self, key: str) -> dict[str, Any]:
        text = self._read(key)
        checksum = self._read(key.removesuffix("json") + "checksum")
        digest = hashlib.md5(text or b"", usedforsecurity=False).hexdigest()
        if text is None or checksum is None or checksum.decode().strip() != digest:
            raise InventoryUnusable(
                f"{key}: gone, or not what its checksum says; the next tick takes the newest"
            )
        manifest: dict[str, Any] = json.loads(text)
        if manifest["fileFormat"] != "CSV":
            raise InventoryUnusable(f"the format is {manifest['fileFormat']}: configure the inventory as CSV")
        if missing := _NEEDED - {name.strip() for name in manifest["fileSchema"].split(",")}:
            raise InventoryUnusable(f"add to the inventory's fields: {', '.join(sorted(missing))}")
        return manifest

    def _read(self, key: str) -> bytes | None:
        try:
            data: bytes = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
        return data


class _Verified(io.RawIOBase):
    """A stream that computes the checksum of what is read from it."""

    def __init__(self, body: Any) -> None:
        self._body = body
        self.md5 = hashlib.md5(usedforsecurity=False)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data: bytes = self._body.read(len(buffer))
        self.md5.update(data)
        buffer[: len(data)] = data
        return len(data)


def _is_current(one: dict[str, str]) -> bool:
    """Whether it is an object that is there, where the inventory has all versions."""
    return one.get("IsLatest", "true") != "false" and one.get("IsDeleteMarker", "false") != "true"


def _described(key: str, one: dict[str, str]) -> Listed:
    return Listed(
        key=key,
        size=int(one["Size"]),
        etag=one["ETag"],
        last_modified=in_utc(datetime.fromisoformat(one["LastModifiedDate"])),
        storage_class=one["StorageClass"],
    )
