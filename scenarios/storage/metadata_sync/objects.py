"""Many changes of objects at once, under difficult keys; then what S3 says about each, to check the rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any

from scenarios.framework import DeployedStack
from scenarios.storage.metadata_sync.tables import Row, in_utc

Described = Mapping[str, Any]

#: What a row contains of an object.
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
_AT_ONCE = 10  # botocore's default number of connections
_KEY_BYTES = 1024


def hostile_keys(prefix: str) -> list[str]:
    """Keys that are easily garbled on their way through an event."""
    long = prefix + "é" * ((_KEY_BYTES - len(prefix.encode())) // 2)
    return [
        long + "x" * (_KEY_BYTES - len(long.encode())),
        f"{prefix}spaces  and a plus + and 100 %.txt",
        f"{prefix}%2B is no plus, %20 no space, %C3%A9 no é",
        f"{prefix}ключ/鍵/🗝️ {'🗝️' * 20}.json",
        f"{prefix}quotes \"' & <tags> \\ back/slash?query=1#part",
        f"{prefix}folder/",
        f"{prefix}e\u0301 is not é, \u3000 no space",
        f"{prefix}é is not e\u0301, \u3000 no space",
        f"{prefix}control \x01, \x1f, \x7f and tab \t",
    ]


@dataclass(frozen=True)
class Traffic:
    """How many calls of each kind were made."""

    written: int
    overwritten: int
    deleted: int
    tagged: int


def send_traffic(s3: Any, bucket: str, prefix: str, count: int) -> Traffic:
    """Write many objects; then overwrite, delete and tag some of them, all at the same time.

    S3 decides the order of the changes of one key, so only the bucket says what is left.

    Args:
        s3: A client of S3.
        bucket: The bucket.
        prefix: What all keys start with.
        count: How many objects, including those with hostile keys.
    """
    chance = random.Random(count)
    keys = hostile_keys(prefix)
    keys += [f"{prefix}{number % 8}/object {number:04}.txt" for number in range(count - len(keys))]
    in_parallel([partial(put, s3, bucket, key, chance.random()) for key in keys])
    chance.shuffle(keys)
    overwritten, deleted = keys[: count // 3] * 2, keys[count // 4 : count // 2]
    calls = [partial(put, s3, bucket, key, chance.random()) for key in overwritten]
    calls += [partial(s3.delete_object, Bucket=bucket, Key=key) for key in deleted]
    tagged = keys[: count // 6] + keys[count // 2 : count // 2 + count // 6]
    calls += [partial(tag, s3, bucket, key, chance.random()) for key in tagged]
    chance.shuffle(calls)
    in_parallel(calls)
    return Traffic(len(keys), len(overwritten), len(deleted), len(tagged))


def put(s3: Any, bucket: str, key: str, content: object, **more: Any) -> None:
    """Write an object whose metadata and tag name its content."""
    text = f"{content}"
    s3.put_object(
        Bucket=bucket,
        Key=key,
        Body=text.encode() * (1 + len(text) % 7),
        ContentType="text/plain; charset=utf-8",
        Metadata={"content": text},
        Tagging=f"content={text}",
        **more,
    )


def tag(s3: Any, bucket: str, key: str, value: object) -> None:
    """Replace the tags of an object."""
    s3.put_object_tagging(
        Bucket=bucket, Key=key, Tagging={"TagSet": [{"Key": "tagged later", "Value": f"{value}"}]}
    )


def in_parallel(calls: Sequence[Callable[[], object]]) -> None:
    """Make these calls, several at a time, and raise what any of them raised."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()


def objects_in(stack: DeployedStack, bucket: str, prefix: str) -> dict[str, Described]:
    """Return every object below a prefix with all that its row should contain, according to S3 itself."""
    s3 = stack.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [one["Key"] for page in pages for one in page.get("Contents", [])]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(keys, pool.map(lambda key: _describe(s3, bucket, key), keys), strict=True))


def differences(objects: Mapping[str, Described], rows: Mapping[str, Row]) -> list[str]:
    """Return how a table differs from a bucket, field by field."""
    live = {key: row for key, row in rows.items() if not row["deleted"]}
    found = [f"{key[:60]!r}: in the bucket, but no row" for key in objects.keys() - live.keys()]
    found += [f"{key[:60]!r}: a row, but not in the bucket" for key in live.keys() - objects.keys()]
    for key in objects.keys() & live.keys():
        found += [
            f"{key[:60]!r}: {field} is {objects[key][field]!r}, in the row {live[key].get(field)!r}"
            for field in FIELDS
            # What S3 leaves out is missing in the row, or empty.
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
        "last_modified": in_utc(head["LastModified"]),
        "restore": "ongoing" if 'ongoing-request="true"' in restore else "",
        "restored_until": in_utc(parsedate_to_datetime(until.rstrip('"'))) if until else "",
        "metadata": head["Metadata"],
        "tags": {tag["Key"]: tag["Value"] for tag in tags},
    }
