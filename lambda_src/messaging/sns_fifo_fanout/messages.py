"""Kinesis record → message for SNS, and messages → batches that SNS accepts: plain Python without AWS."""

import base64
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shared.storable import NotStorable, check_not_aggregated, load_json

_MOST_ENTRIES = 10  # of PublishBatch
# https://docs.aws.amazon.com/sns/latest/api/API_PublishBatchRequestEntry.html
_GROUP_ID = re.compile(r"[!-~]{1,128}")  # ASCII letters, digits and punctuation
_HASHED = "sha256:"
# https://aws.amazon.com/sns/faqs/ (the characters that SNS, like SQS, accepts)
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class NotPublishable(ValueError):
    """The record can never be published; the text gives the reason."""


@dataclass(frozen=True)
class Message:
    """A message for SNS.

    Args:
        number: The index of its record in the event.
        group: Its message group.
        size: What SNS counts: the bytes of the body and of the attributes.
        entry: The entry for PublishBatch.
    """

    number: int
    group: str
    size: int
    entry: dict[str, Any]

    @classmethod
    def of(cls, number: int, record: dict[str, Any]) -> "Message":
        """Make the message of a record.

        Raises:
            NotPublishable: The data is not a JSON object, or has characters that SNS refuses.
        """
        body, kind = _read(base64.b64decode(record["kinesis"]["data"]))
        group = group_id(record["kinesis"]["partitionKey"])
        entry: dict[str, Any] = {
            "Id": str(number),
            "Message": body,
            "MessageGroupId": group,
            "MessageDeduplicationId": deduplication_id(record),
        }
        size = len(body.encode())
        if kind:
            entry["MessageAttributes"] = {"type": {"DataType": "String", "StringValue": kind}}
            size += len("type") + len("String") + len(kind.encode())
        return cls(number, group, size, entry)


def _read(data: bytes) -> tuple[str, str]:
    """Return the text of a record and its field ``type``; empty if it has no text there."""
    try:
        check_not_aggregated(data)
        body = data.decode()
        document = load_json(body)
    except UnicodeDecodeError:
        raise NotPublishable("the data is not UTF-8") from None
    except NotStorable as reason:
        raise NotPublishable(f"the data: {reason}") from None
    if not isinstance(document, dict):
        raise NotPublishable("the data is not a JSON object")
    kind = document.get("type")
    kind = kind if isinstance(kind, str) else ""
    if found := _FORBIDDEN.search(body) or _FORBIDDEN.search(kind):
        raise NotPublishable(f"the data has the character U+{ord(found[0]):04X}, which SNS refuses")
    return body, kind


def group_id(partition_key: str) -> str:
    """Return the message group of a partition key, another one for each key.

    A key that is no group id (more than 128 characters, a space, characters outside ASCII) is hashed. So is
    one that looks like a hash: otherwise two keys could share a group.
    """
    if _GROUP_ID.fullmatch(partition_key) and not partition_key.startswith(_HASHED):
        return partition_key
    return _HASHED + hashlib.sha256(partition_key.encode("utf-8", "surrogatepass")).hexdigest()


def deduplication_id(record: dict[str, Any]) -> str:
    """Return what identifies a record among those of all streams.

    A sequence number does not: it is unique in its shard only.
    """
    return hashlib.sha256(f"{record['eventSourceARN']} {record['eventID']}".encode()).hexdigest()


def next_batch(messages: Sequence[Message], limit: int) -> tuple[list[Message], list[Message]]:
    """Return the next batch, and what is left.

    A batch has at most ten messages, no two of a group, and at most this number of bytes. A message that is
    larger is in a batch of its own: SNS says whether it is too large for the topic.
    """
    batch: dict[str, Message] = {}
    later: list[Message] = []
    groups_left: set[str] = set()
    size = 0
    for message in messages:
        fits = not batch or (len(batch) < _MOST_ENTRIES and size + message.size <= limit)
        if fits and message.group not in batch and message.group not in groups_left:
            batch[message.group] = message
            size += message.size
        else:
            later.append(message)
            groups_left.add(message.group)
    return list(batch.values()), later
