"""What S3 says when objects come and go, read strictly: whatever is not as documented is named.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

import re
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from shared.failures import PermanentFailure

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
MAX_KEY_BYTES = 1024

# What changes which object is under a key: as notifications name it, and as EventBridge does.
_ORDERED = ("ObjectCreated:", "ObjectRemoved:", "LifecycleExpiration:", "Object Created", "Object Deleted")
_HEX = re.compile("[0-9A-Fa-f]+")


class InvalidEvent(ValueError):
    """The event as a whole is not a notification of S3."""


class InvalidRecord(PermanentFailure):
    """The record is not one that S3 writes."""


class ObjectEvent(NamedTuple):
    """Something happened to an object: it was written, overwritten or removed.

    Args:
        bucket: The bucket.
        key: The key, decoded.
        name: What happened, such as ``ObjectCreated:Put``.
        sequencer: Orders the events of one key; empty where S3 gives none.
        version_id: The version that it is about; empty where S3 gives none.
        etag: Of that version's content; likewise.
        time: When it happened, as S3 says; likewise.
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
        """Whether its sequencer orders it among the writes and deletions of its key.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
        """
        return self.name.startswith(_ORDERED) and _HEX.fullmatch(self.sequencer) is not None

    @property
    def identity(self) -> tuple[str, str]:
        """What tells the object that it is about from any other under the key."""
        return self.version_id, self.etag


def records_of(event: object) -> list[object]:
    """Return the records of a notification; none for the message that S3 sends when it is configured.

    Raises:
        InvalidEvent: It is no notification of S3.
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
            "Send to this function what a bucket's event notification sends, and nothing else."
        )
    return records


def parse_record(record: object) -> ObjectEvent:
    """Read one record.

    Raises:
        InvalidRecord: It is not a record of S3; the message says what is missing.
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
    """Return what orders the sequencers of one key as plain text.

    S3 documents the order: the shorter is padded on the right with zeros, then they compare as text. Without
    zeros on the right, the shorter of two that agree so far is the earlier in either order.
    """
    return sequencer.upper().rstrip("0")


def later_of(one: str, other: str) -> str:
    """Return the later of two sequencers of the same key."""
    return one if order_key(one) >= order_key(other) else other


def field(record: object, *path: str, optional: bool = False) -> str:
    """Return a text that lies somewhere inside a record.

    Raises:
        InvalidRecord: It is not there, and is not optional.
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
    return value


def _decoded(key: str) -> str:
    """Undo S3's form encoding: plus signs for spaces, percent signs for everything else that is unsafe."""
    try:
        return checked_key(unquote_plus(key, errors="strict"), "s3.object.key")
    except UnicodeError:
        raise InvalidRecord("s3.object.key is not URL-encoded UTF-8") from None


def checked_key(key: str, where: str) -> str:
    """Return a key that S3 can have.

    Args:
        key: The key, decoded.
        where: The name of the field that it stood in.

    Raises:
        InvalidRecord: S3 cannot have it.
    """
    try:
        size = len(key.encode())
    except UnicodeError:
        raise InvalidRecord(f"{where} cannot be written in UTF-8") from None
    if size > MAX_KEY_BYTES:
        raise InvalidRecord(f"{where} has {size:,} bytes; a key has at most {MAX_KEY_BYTES:,}")
    return key
