"""Event notifications of S3, read strictly: an error names the field that is not as documented.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

import re
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from shared.failures import PermanentFailure

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
MAX_KEY_BYTES = 1024

# The events that change which object a key has: their names in notifications, and in EventBridge.
_ORDERED = ("ObjectCreated:", "ObjectRemoved:", "LifecycleExpiration:", "Object Created", "Object Deleted")
_HEX = re.compile("[0-9A-Fa-f]+")


class InvalidEvent(ValueError):
    """The event as a whole is not a notification from S3."""


class InvalidRecord(PermanentFailure):
    """S3 does not write records like this one."""


class ObjectEvent(NamedTuple):
    """Something happened to an object: it was written, overwritten or removed.

    Args:
        bucket: The bucket.
        key: The key, decoded.
        name: The event's name, such as ``ObjectCreated:Put``.
        sequencer: Orders the events of one key; empty if S3 sends none.
        version_id: The version of the object; empty if S3 sends none.
        etag: The ETag of that version; empty if S3 sends none.
        time: The time of the event, as S3 sends it; empty if S3 sends none.
    """

    bucket: str
    key: str
    name: str
    sequencer: str
    version_id: str = ""
    etag: str = ""
    time: str = ""

    @property
    def is_ordered(self) -> bool:
        """Whether the sequencer orders this event among the writes and deletions of its key.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
        """
        return self.name.startswith(_ORDERED) and _HEX.fullmatch(self.sequencer) is not None

    @property
    def identity(self) -> tuple[str, str]:
        """What distinguishes the object of this event from any other under the same key."""
        return self.version_id, self.etag


def records_of(event: object) -> list[object]:
    """Return the records of a notification; none for the test message that S3 sends when it is configured.

    Raises:
        InvalidEvent: The event is not a notification from S3.
    """
    if not isinstance(event, dict):
        raise InvalidEvent(
            f"the event is a {type(event).__name__}; a notification of S3 is an object with a list 'Records'"
        )
    if event.get("Event") == "s3:TestEvent" and "Records" not in event:
        return []
    records = event.get("Records")
    if not isinstance(records, list):
        names = ", ".join(sorted(map(repr, event))[:5]) or "nothing"
        raise InvalidEvent(
            f"the event has {names[:200]}; a notification of S3 has a list 'Records'. "
            "Send this function the event notifications of a bucket, and nothing else."
        )
    return records


def parse_record(record: object) -> ObjectEvent:
    """Read one record.

    Raises:
        InvalidRecord: It is not a record from S3; the message says what is missing.
    """
    source = field(record, "eventSource")
    if source != "aws:s3":
        raise InvalidRecord(f"eventSource is {source[:100]!r}; only records of 'aws:s3' are understood")
    return ObjectEvent(
        bucket=field(record, "s3", "bucket", "name"),
        key=_decoded(field(record, "s3", "object", "key")),
        name=field(record, "eventName"),
        sequencer=field(record, "s3", "object", "sequencer", optional=True),
        version_id=field(record, "s3", "object", "versionId", optional=True),
        etag=field(record, "s3", "object", "eTag", optional=True),
        time=field(record, "eventTime", optional=True),
    )


def order_key(sequencer: str) -> str:
    """Return a form of a sequencer that compares as plain text, for sequencers of the same key.

    S3 documents the order: the shorter sequencer is padded with zeros on the right, then both are compared as
    strings. Removing the zeros on the right has the same effect: of two strings that agree up to the end of
    the shorter one, the shorter one comes first.
    """
    return sequencer.upper().rstrip("0")


def later_of(one: str, other: str) -> str:
    """Return the later of two sequencers of the same key."""
    return one if order_key(one) >= order_key(other) else other


def field(record: object, *path: str, optional: bool = False) -> str:
    """Return a string from inside a record.

    Args:
        record: The record.
        *path: The names that lead to the string.
        optional: Whether it may be missing or empty; then the result is empty.

    Raises:
        InvalidRecord: It is missing or not a string.
    """
    value: Any = record
    for depth, name in enumerate(path):
        if not isinstance(value, dict):
            where = ".".join(path[:depth]) or "the record"
            raise InvalidRecord(f"{where} is not an object, so it has no {name!r}")
        value = value.get(name)
    if value is None and optional:
        return ""
    if not isinstance(value, str) or not (value or optional):
        raise InvalidRecord(f"{'.'.join(path)} is missing, empty, or not text")
    try:
        value.encode()
    except UnicodeError:
        raise InvalidRecord(f"{'.'.join(path)} cannot be written in UTF-8") from None
    return value


def _decoded(key: str) -> str:
    """Decode a key from a notification, where spaces are plus signs and other characters percent-encoded."""
    try:
        return checked_key(unquote_plus(key, errors="strict"), "s3.object.key")
    except UnicodeError:
        raise InvalidRecord("s3.object.key is not URL-encoded UTF-8") from None


def checked_key(key: str, where: str) -> str:
    """Return a key if S3 allows it.

    Args:
        key: The key, decoded.
        where: The field that it comes from, for the error.

    Raises:
        InvalidRecord: S3 does not allow such a key.
    """
    try:
        size = len(key.encode())
    except UnicodeError:
        raise InvalidRecord(f"{where} cannot be written in UTF-8") from None
    if size > MAX_KEY_BYTES:
        raise InvalidRecord(f"{where} has {size:,} bytes; a key has at most {MAX_KEY_BYTES:,}")
    return key
