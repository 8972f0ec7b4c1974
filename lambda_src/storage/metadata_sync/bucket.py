"""The bucket, in two calls: a look at one object, and a listing."""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.errors import HeaderParseError
from email.header import decode_header, make_header
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.exceptions import ClientError

from shared.clients import Client

from .objects import Listed, StoredObject

_RESTORE = re.compile(r'ongoing-request="(?P<ongoing>\w+)"(?:.*expiry-date="(?P<until>[^"]+)")?')
_CHECKSUMS = ("CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256")


class SourceBucket:
    """The current objects of a bucket.

    Args:
        s3: A client of S3.
        bucket: The name of the bucket.
        user_metadata: Whether to return the user-defined metadata.
        tags: Whether to return the tags, which takes a call of its own.
    """

    def __init__(self, s3: Client, bucket: str, *, user_metadata: bool, tags: bool) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._user_metadata = user_metadata
        self._tags = tags

    def look(self, key: str) -> StoredObject | None:
        """Return the current object of a key; ``None`` if there is none, or a delete marker."""
        try:
            head = self._head(key)
            # If another object is there by now, its own event will follow.
            tags = self._look_at_tags(key) if self._tags else {}
        except ClientError as error:
            # By the status: the code is 404 after HEAD, and if the body names a key that XML cannot contain.
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status == 404 and error.response["Error"]["Code"] != "NoSuchBucket":
                return None
            if status == 400:  # with a key of the customer (SSE-C), without which HeadObject is refused
                return self._look_at_listing(key)
            raise
        restore, restored_until = _restore(head.get("Restore", ""))
        return StoredObject(
            version_id=head.get("VersionId", ""),
            size=head["ContentLength"],
            etag=head["ETag"].strip('"'),
            last_modified=_in_utc(head["LastModified"]),
            checksum=_checksum(head),
            storage_class=head.get("StorageClass", "STANDARD"),
            content_type=head.get("ContentType", ""),
            restore=restore,
            restored_until=restored_until,
            replication_status=head.get("ReplicationStatus", ""),
            metadata=_decoded(head.get("Metadata", {})) if self._user_metadata else {},
            tags=tags,
        )

    def _head(self, key: str) -> dict[str, Any]:
        """Return the object's headers; without the checksum if its KMS key is disabled or denied.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html (x-amz-checksum-mode)
        """
        try:
            head: dict[str, Any] = self._s3.head_object(Bucket=self._bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (400, 403):
                raise
            head = self._s3.head_object(Bucket=self._bucket, Key=key)
        return head

    def _look_at_tags(self, key: str) -> dict[str, str]:
        """Return the tags; none of an archived object whose tags S3 does not return."""
        try:
            tags = self._s3.get_object_tagging(Bucket=self._bucket, Key=key)["TagSet"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "InvalidObjectState":
                return {}
            raise
        return {tag["Key"]: tag["Value"] for tag in tags}

    def _look_at_listing(self, key: str) -> StoredObject | None:
        """Return what a listing says of the object; of a prefix, the key itself is the first."""
        listed = next(self.walk(after="", prefix=key), None)
        if listed is None or listed.key != key:
            return None
        return StoredObject(**{name: value for name, value in listed._asdict().items() if name != "key"})

    def walk(self, *, after: str, prefix: str) -> Iterator[Listed]:
        """Return all objects with later keys, in the order of the UTF-8 of their keys."""
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
        asked: dict[str, Any] = {"Bucket": self._bucket, "OptionalObjectAttributes": ["RestoreStatus"]}
        if prefix:
            asked["Prefix"] = prefix
        if after:
            asked["StartAfter"] = after
        for page in self._s3.get_paginator("list_objects_v2").paginate(**asked):
            for one in page.get("Contents", []):
                yield _listed(one)


def _in_utc(moment: datetime) -> str:
    """Return a time to the second: HeadObject has no fractions of a second, a listing has some."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _decoded(metadata: Mapping[str, str]) -> dict[str, str]:
    """Decode values that are not ASCII: S3 returns them as RFC 2047 defines, ``=?UTF-8?B?w7w=?=``.

    What cannot be decoded, or not be stored as text, stays as S3 returns it.
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
    """
    decoded = dict(metadata)
    for name, value in metadata.items():
        if value.startswith("=?") and value.endswith("?="):
            try:
                text = str(make_header(decode_header(value)))
                text.encode()
            except (HeaderParseError, LookupError, ValueError):
                continue
            decoded[name] = value if "\0" in text else text
    return decoded


def _listed(one: Mapping[str, Any]) -> Listed:
    status = one.get("RestoreStatus", {})
    until = status.get("RestoreExpiryDate")
    return Listed(
        key=one["Key"],
        size=one["Size"],
        etag=one["ETag"].strip('"'),
        last_modified=_in_utc(one["LastModified"]),
        storage_class=one.get("StorageClass", "STANDARD"),
        restore="ongoing" if status.get("IsRestoreInProgress") else "",
        restored_until=_in_utc(until) if until else "",
    )


def _checksum(head: Mapping[str, Any]) -> str:
    for algorithm in _CHECKSUMS:
        if value := head.get(f"Checksum{algorithm}"):
            return f"{algorithm}:{value}"
    return ""


def _restore(header: str) -> tuple[str, str]:
    """Read the header ``x-amz-restore``: whether a copy is being restored, and until when one is there.

    https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
    """
    found = _RESTORE.search(header)
    if not found:
        return "", ""
    if found["ongoing"] == "true":
        return "ongoing", ""
    return "", _in_utc(parsedate_to_datetime(found["until"])) if found["until"] else ""
