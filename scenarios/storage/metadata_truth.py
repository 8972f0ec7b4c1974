"""What is in a bucket, found out without the functions under test, and how a table differs from it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any

from scenarios.framework import DeployedStack
from scenarios.storage.metadata_tables import Row

Described = Mapping[str, Any]

FIELDS = (
    "version_id",
    "size",
    "etag",
    "checksum",
    "storage_class",
    "content_type",
    "last_modified",
    "restore",
    "restored_until",
    "metadata",
    "tags",
)
_CHECKSUMS = ("CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256")
_AT_ONCE = 10  # as many connections as botocore keeps


def objects_in(stack: DeployedStack, bucket: str, prefix: str) -> dict[str, Described]:
    """Every object below a prefix, with all that a row should say of it."""
    s3 = stack.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(keys, pool.map(lambda key: _describe(s3, bucket, key), keys), strict=True))


def differences(objects: Mapping[str, Described], rows: Mapping[str, Row]) -> list[str]:
    """How a table differs from a bucket, field by field; nothing where it tells the truth."""
    live = {key: row for key, row in rows.items() if not row["deleted"]}
    found = [f"{key[:60]!r}: in the bucket, and no row" for key in objects.keys() - live.keys()]
    found += [f"{key[:60]!r}: a row, and not in the bucket" for key in live.keys() - objects.keys()]
    for key in objects.keys() & live.keys():
        found += [
            f"{key[:60]!r}: {field} is {objects[key][field]!r}, the row says {live[key].get(field)!r}"
            for field in FIELDS
            # What S3 says nothing about is not in the row, or empty there.
            if (live[key].get(field) or type(objects[key][field])()) != objects[key][field]
        ]
    return sorted(found)


def _describe(s3: Any, bucket: str, key: str) -> Described:
    head = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED")
    tags = s3.get_object_tagging(Bucket=bucket, Key=key)["TagSet"]
    restore, _, until = head.get("Restore", "").partition('expiry-date="')
    checksums = [f"{name}:{head[f'Checksum{name}']}" for name in _CHECKSUMS if f"Checksum{name}" in head]
    return {
        "version_id": head.get("VersionId", ""),
        "size": head["ContentLength"],
        "etag": head["ETag"].strip('"'),
        "checksum": checksums[0] if checksums else "",
        "storage_class": head.get("StorageClass", "STANDARD"),
        "content_type": head["ContentType"],
        "last_modified": moment(head["LastModified"]),
        "restore": "ongoing" if 'ongoing-request="true"' in restore else "",
        "restored_until": moment(parsedate_to_datetime(until.rstrip('"'))) if until else "",
        "metadata": head["Metadata"],
        "tags": {tag["Key"]: tag["Value"] for tag in tags},
    }


def moment(time: datetime.datetime) -> str:
    """A time as rows have it."""
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
