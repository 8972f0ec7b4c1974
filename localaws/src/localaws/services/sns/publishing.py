"""What SNS refuses to publish: messages and batches that are too large, forbidden characters, invalid ids.

The emulator accepts every message group id, deduplication id and character, and a batch of ten messages of
256 KB each. It does not know `MaximumMessageSize`.

Faithful to:
- `MaximumMessageSize` of a topic, 1,024 bytes to 1 MiB, is the limit of a message and of a batch, with the
  attributes. Without it the limit is 262,144 bytes.
- A batch that is too large, or has an invalid entry id, is refused as a whole (`BatchRequestTooLong`,
  `InvalidBatchEntryId`), and so is a batch for a FIFO topic with a message that lacks an id. Of other invalid
  messages, only those are refused, with `SenderFault`.
- Message group ids and deduplication ids have 1 to 128 ASCII letters, digits and punctuation characters. A
  standard topic takes no deduplication ids.
- Message attributes have the documented names, types and values, in the field for their type.
- A subject has at most 100 characters, without line breaks and control characters. With
  MessageStructure=json, the message is a JSON object with a string as `default`.
- Bodies and string attributes have only the characters that SNS lists; neither may be empty.
Not to: the words of errors about forbidden characters and about numbers that are none, which AWS does not
document; the most attributes of a message that a queue gets raw, which SNS only finds when it delivers. A
batch with one message that is too large is refused as a whole, as its total is too large.

https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html
https://docs.aws.amazon.com/sns/latest/api/API_PublishBatchRequestEntry.html
https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html
https://docs.aws.amazon.com/sns/latest/dg/sns-message-attributes.html
https://aws.amazon.com/sns/faqs/
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from ministack.services import sns

from localaws.patching import Properties, around, changes

_DEFAULT_SIZE, _LARGEST_SIZE = 262_144, 1_048_576
_ID = re.compile(r"[!-~]{1,128}")
_ENTRY_ID = re.compile(r"[A-Za-z0-9_-]{1,80}")
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_MEMBER = re.compile(r"(PublishBatchRequestEntries\.member\.)(\d+)(\..*)")


@changes(sns, "_SNS_MAX_PAYLOAD_BYTES")
def _most_of_any_topic(_stock: int) -> int:
    return _LARGEST_SIZE


@around(sns, "_set_topic_attributes")
def _set_topic_attributes(stock: Callable[[Properties], Any], params: Properties) -> Any:
    value = str(sns._p(params, "AttributeValue"))
    if sns._p(params, "AttributeName") == "MaximumMessageSize" and not _is_size(value):
        return sns._error("InvalidParameter", f"Invalid parameter: MaximumMessageSize: {value}", 400)
    return stock(params)


def _is_size(value: str) -> bool:
    return value.isascii() and value.isdigit() and 1024 <= int(value) <= _LARGEST_SIZE


def _limit(topic: Mapping[str, Any]) -> int:
    return int(topic["attributes"].get("MaximumMessageSize") or _DEFAULT_SIZE)


@around(sns, "_publish")
def _publish(stock: Callable[[Properties], Any], params: Properties) -> Any:
    topic = sns._topic_by_arn_any_scope(sns._p(params, "TopicArn") or sns._p(params, "TargetArn"))
    names = ("Subject", "MessageStructure", "Message")
    refusal = _of_form(*(sns._p(params, name) for name in names)) if topic else None
    return sns._error(*refusal, 400) if refusal else stock(params)


def _of_form(subject: str, structure: str, message: Any) -> tuple[str, str] | None:
    if len(subject) > 100 or _CONTROL.search(subject):
        return "InvalidParameter", "Invalid parameter: Subject"
    if not structure:
        return None
    about = "Invalid parameter: Message Structure - "
    if structure != "json":
        return "InvalidParameter", f"{about}Only json is allowed"
    try:
        texts = json.loads(message)
    except ValueError:
        texts = None
    if not isinstance(texts, dict):
        return "InvalidParameter", f"{about}JSON message body failed to parse"
    if not isinstance(texts.get("default"), str):
        return "InvalidParameter", f"{about}No default entry in JSON message body"
    return None


@around(sns, "publish_internal")
def _publish_one(
    stock: Callable[..., Any],
    topic_arn: str,
    message: Any,
    subject: str = "",
    *,
    message_structure: str = "",
    message_attributes: dict[str, Any] | None = None,
    message_group_id: str = "",
    message_deduplication_id: str = "",
) -> Any:
    topic = sns._topic_by_arn_any_scope(topic_arn)
    if topic is not None and isinstance(message, str):
        refusal = _refusal(
            topic, message, message_attributes or {}, message_group_id, message_deduplication_id
        )
        if refusal:
            raise sns.SnsPublishError(*refusal)
    return stock(
        topic_arn,
        message,
        subject,
        message_structure=message_structure,
        message_attributes=message_attributes,
        message_group_id=message_group_id,
        message_deduplication_id=message_deduplication_id,
    )


@around(sns, "_publish_batch")
def _publish_batch(stock: Callable[[Properties], Any], params: Properties) -> Any:
    topic, error = sns._get_topic(sns._normalize_arn(sns._p(params, "TopicArn")), "sns:Publish")
    entries = sns._parse_batch_entries(params)
    if error is not None:
        return stock(params)
    if len(entries) > 10:
        text = "The batch request contains more entries than permissible."
        return sns._error("TooManyEntriesInBatchRequest", text, 400)
    if not entries:
        return sns._error("EmptyBatchRequest", "The batch request doesn't contain any entries.", 400)
    for entry in entries:
        if not _ENTRY_ID.fullmatch(entry["id"]):
            reason = "is too long" if len(entry["id"]) > 80 else "contains an impermissible character"
            text = f"The Id of a batch entry in the batch request {reason}: {entry['id']}"
            return sns._error("InvalidBatchEntryId", text, 400)
    if len({entry["id"] for entry in entries}) < len(entries):
        text = "Two or more batch entries in the request have the same Id."
        return sns._error("BatchEntryIdsNotDistinct", text, 400)
    for entry in entries:
        if missing := _of_missing_ids(topic, entry["message_group_id"], entry["message_dedup_id"]):
            return sns._error(*missing, 400)
    if sum(_size(entry["message"], entry["message_attributes"]) for entry in entries) > _limit(topic):
        text = "The length of all the messages put together is more than the limit."
        return sns._error("BatchRequestTooLong", text, 400)
    refused = {index: found for index, entry in enumerate(entries, 1) if (found := _of_entry(topic, entry))}
    if not refused:
        return stock(params)
    failed = "".join(_failure(entries[index - 1]["id"], *found) for index, found in refused.items())
    if len(refused) == len(entries):
        result = f"<PublishBatchResult><Successful/><Failed>{failed}</Failed></PublishBatchResult>"
        return sns._xml(200, "PublishBatchResponse", result)
    status, headers, body = stock(_without(params, set(refused), len(entries)))
    return status, headers, body.replace(b"</Failed>", f"{failed}</Failed>".encode())


def _of_entry(topic: dict[str, Any], entry: dict[str, Any]) -> tuple[str, str] | None:
    ids = (entry["message_group_id"], entry["message_dedup_id"])
    form = _of_form(entry.get("subject", ""), entry.get("message_structure", ""), entry["message"])
    return form or _refusal(topic, entry["message"], entry["message_attributes"], *ids)


def _failure(name: str, code: str, text: str) -> str:
    text = sns._xml_escape(text)
    return (
        f"<member><Id>{name}</Id><Code>{code}</Code><Message>{text}</Message>"
        "<SenderFault>true</SenderFault></member>"
    )


def _without(params: Properties, refused: set[int], count: int) -> Properties:
    """Return the parameters without some entries; the others are numbered anew."""
    numbers = {
        index: new for new, index in enumerate((i for i in range(1, count + 1) if i not in refused), 1)
    }
    kept: Properties = {}
    for name, value in params.items():
        found = _MEMBER.fullmatch(name)
        if found is None:
            kept[name] = value
        elif (index := int(found[2])) in numbers:
            kept[f"{found[1]}{numbers[index]}{found[3]}"] = value
    return kept


def _size(message: str, attributes: Mapping[str, Any]) -> int:
    size: int = sns._message_payload_size(message, attributes)
    return size


def _refusal(
    topic: dict[str, Any], message: str, attributes: Mapping[str, Any], group: str, deduplication: str
) -> tuple[str, str] | None:
    """Return code and text of the error if SNS refuses a message."""
    if not message:
        return "InvalidParameter", "Invalid parameter: Empty message"
    if _size(message, attributes) > _limit(topic):
        return "InvalidParameter", "Invalid parameter: Message too long"
    if _FORBIDDEN.search(message):
        return "InvalidParameter", "Invalid parameter: Message Reason: it has characters that are not allowed"
    for name, attribute in attributes.items():
        if reason := _of_name(name) or _of_value(name, attribute):
            return "ParameterValueInvalid", reason
    if missing := _of_missing_ids(topic, group, deduplication):
        return missing
    if deduplication and not sns._is_fifo_topic(topic):
        text = "The request includes MessageDeduplicationId parameter that is not valid for this topic type"
        return "InvalidParameter", f"Invalid parameter: MessageDeduplicationId Reason: {text}"
    for name, value in (("MessageGroupId", group), ("MessageDeduplicationId", deduplication)):
        if value and not _ID.fullmatch(value):
            text = f"{name} can only include alphanumeric and punctuation characters. 1 to 128 in length."
            return "InvalidParameter", f"Invalid parameter: {name} Reason: {text}"
    return None


def _of_missing_ids(topic: dict[str, Any], group: str, deduplication: str) -> tuple[str, str] | None:
    if not sns._is_fifo_topic(topic):
        return None
    if not group:
        text = "Invalid parameter: The MessageGroupId parameter is required for FIFO topics"
        return "InvalidParameter", text
    if not deduplication and topic["attributes"].get("ContentBasedDeduplication") != "true":
        text = "The topic should either have ContentBasedDeduplication enabled"
        return (
            "InvalidParameter",
            f"Invalid parameter: {text} or MessageDeduplicationId provided explicitly",
        )
    return None


def _of_name(name: str) -> str | None:
    """Why SNS refuses the name of a message attribute; None if it does not."""
    if len(name.encode()) > 255:
        return "Length of message attribute name must be less than 256 bytes."
    if bad := re.search(r"[^A-Za-z0-9_.-]", name):
        return (
            f"Invalid non-alphanumeric character '#x{ord(bad[0]):X}' was found in the message attribute "
            "name. Can only include alphanumeric characters, hyphens, underscores, or dots."
        )
    if name.startswith("."):
        return "Invalid message attribute name starting with character '.' was found."
    if name.endswith("."):
        return "Invalid message attribute name ending with character '.' was found."
    return "Message attribute name can not have successive '.' character." if ".." in name else None


def _of_value(name: str, attribute: Properties) -> str | None:
    """Why SNS refuses the type or the value of a message attribute; None if it does not."""
    kind = str(attribute.get("DataType") or "")
    prefix = kind.partition(".")[0]
    if prefix not in ("String", "Number", "Binary"):
        return (
            f"The message attribute '{name}' has an invalid message attribute type, the set of supported "
            "type prefixes is Binary, Number, and String."
        )
    field, other = ("Binary", "String") if prefix == "Binary" else ("String", "Binary")
    value = attribute.get(f"{field}Value")
    if not value and attribute.get(f"{other}Value"):
        return f"The message attribute '{name}' with type '{kind}' must use field '{field}'."
    if not value:
        return (
            f"The message attribute '{name}' must contain non-empty message attribute value for message "
            f"attribute type '{kind}'."
        )
    if prefix == "Number" and not _NUMBER.fullmatch(value):
        return f"Could not cast message attribute '{name}' value to number."
    if field == "String" and _FORBIDDEN.search(value):
        return f"The message attribute '{name}' has characters that are not allowed."
    return None


@around(sns, "_parse_batch_entries")
def _parse_batch_entries(
    stock: Callable[[Properties], list[dict[str, Any]]], params: Properties
) -> list[dict[str, Any]]:
    """Read binary attributes, too, which the emulator loses."""
    entries = stock(params)
    for number, entry in enumerate(entries, 1):
        for index, attribute in enumerate(entry["message_attributes"].values(), 1):
            base = f"PublishBatchRequestEntries.member.{number}.MessageAttributes.entry.{index}.Value"
            if binary := sns._p(params, f"{base}.BinaryValue"):
                attribute["BinaryValue"] = binary
                del attribute["StringValue"]
    return entries
