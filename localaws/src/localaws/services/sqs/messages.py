"""Which messages and requests for messages SQS accepts.

The emulator accepts any delay, wait, visibility timeout, message attribute and group id, counts only the body
as the size of a message, and refuses to delete a message a second time.

Faithful to:
- delays of 0 to 900 seconds, waits of 0 to 20 seconds, and visibility timeouts of 0 to 43,200 seconds, which
  is also the most since a message was received;
- a message has at most ten attributes, with the documented names, types and values; they count towards its
  size and towards that of a batch;
- message group ids and deduplication ids have 1 to 128 letters, digits and punctuation characters; only FIFO
  queues take deduplication ids, and a batch with a message that lacks an id is refused as a whole;
- a batch has 1 to 10 entries, each with its own AWSTraceHeader; one that is no tracing header is refused;
- a receipt handle that SQS never gave is refused. Deleting a message again succeeds, as does deleting with
  the handle of an earlier receipt, which deletes nothing. A FIFO queue refuses a handle whose visibility
  timeout has passed, and so does every queue when the timeout is changed.
Not to: the words of errors about names of message attributes that are too long, have other characters, or
start or end with a period, which AWS does not document; a handle of another queue.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ChangeMessageVisibility.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_DeleteMessage.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ministack.services import sqs

from localaws.patching import Properties, action, around
from localaws.services.sqs.queues import READABLE, check_readable, error, invalid
from localaws.services.xray import headers

_LONGEST_TIMEOUT = 43_200
_LARGEST_BATCH = 1_048_576
_MOST_ATTRIBUTES = 10
_ID = re.compile(r"[!-~]{1,128}")
_HANDLE = re.compile(r"AQEB[A-Za-z0-9+/]{340}")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_ALLOWED = "#x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF"
_NOT_FOR_STANDARD = "The request include parameter that is not valid for this queue type."
_OF_MESSAGES = {
    "AWSTraceHeader",
    "ApproximateFirstReceiveTimestamp",
    "ApproximateReceiveCount",
    "DeadLetterQueueSourceArn",
    "MessageDeduplicationId",
    "MessageGroupId",
    "SenderId",
    "SentTimestamp",
    "SequenceNumber",
}


# --- Sending


# Other actions and services call the function, requests are handled through the table.
@action(sqs, "SendMessage")
@around(sqs, "_act_send_message")
def _send(stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    queue = sqs._get_q(data.get("QueueUrl", qurl), "sqs:SendMessage")
    delay = data.get("DelaySeconds")
    if delay is not None and not 0 <= int(delay) <= 900:
        raise invalid("DelaySeconds", delay, "DelaySeconds must be >= 0 and <= 900.")
    body, attributes = str(data.get("MessageBody") or ""), data.get("MessageAttributes") or {}
    if sqs._INVALID_SQS_CHARS_RE.search(body):
        raise error(
            "InvalidMessageContents", f"Invalid characters found. Valid unicode characters are {_ALLOWED}"
        )
    _check_attributes(attributes)
    for name, attribute in (data.get("MessageSystemAttributes") or {}).items():
        if name != "AWSTraceHeader":
            raise error("InvalidParameterValue", f"Message system attribute name '{name}' is invalid.")
        if attribute.get("DataType") != "String" or not headers.parsed(str(attribute.get("StringValue"))):
            text = f"Message system attribute '{name}' must be a String with a tracing header of X-Ray."
            raise error("InvalidParameterValue", text)
    most = int(queue["attributes"].get("MaximumMessageSize", _LARGEST_BATCH))
    if _size(body, attributes) > most:
        text = f"One or more parameters are invalid. Reason: Message must be shorter than {most} bytes."
        raise error("InvalidParameterValue", text)
    _check_ids(queue, data)
    return stock(data, qurl)


def _check_ids(queue: Properties, data: Properties) -> None:
    for name in ("MessageGroupId", "MessageDeduplicationId"):
        value = data.get(name)
        if value is None:
            continue
        if name == "MessageDeduplicationId" and not queue["is_fifo"]:
            raise invalid(name, value, _NOT_FOR_STANDARD)
        if not _ID.fullmatch(value):
            text = "can only include alphanumeric and punctuation characters. 1 to 128 in length."
            raise invalid(name, value, f"{name} {text}")


def _check_attributes(attributes: Mapping[str, Properties]) -> None:
    if len(attributes) > _MOST_ATTRIBUTES:
        text = f"Number of message attributes [{len(attributes)}] exceeds the allowed maximum"
        raise error("InvalidParameterValue", f"{text} [{_MOST_ATTRIBUTES}].")
    for name, attribute in attributes.items():
        if reason := _of_name(name) or _of_value(name, attribute):
            raise error("InvalidParameterValue", reason)


def _of_name(name: str) -> str | None:
    """Why SQS refuses the name of an attribute; None if it does not."""
    if not name:
        return "The request must contain non-empty message (user) attribute names."
    if len(name.encode()) > 256:
        return "Message (user) attribute names must be shorter than 256 Bytes"
    if not re.fullmatch(r"[\w.-]+", name, re.ASCII):
        return (
            "Message (user) attributes name can only contain upper and lower score characters, digits, "
            "periods, hyphens and underscores. "
        )
    if name.lower().startswith(("aws.", "amazon.", ".")) or name.endswith(".") or ".." in name:
        return (
            "You can't use message attribute names beginning with 'AWS.' or 'Amazon.'. These strings are "
            "reserved for internal use. Additionally, they cannot start or end with '.'."
        )
    return None


def _of_value(name: str, attribute: Properties) -> str | None:
    """Why SQS refuses the type or the value of an attribute; None if it does not."""
    kind = str(attribute.get("DataType") or "")
    prefix, field = kind.partition(".")[0], "BinaryValue" if kind.startswith("Binary") else "StringValue"
    value = attribute.get(field)
    if prefix not in ("String", "Number", "Binary"):
        return (
            f"The type of message (user) attribute '{name}' is invalid. You must use only the following "
            "supported type prefixes: Binary, Number, String."
        )
    if len(kind.encode()) > 256:
        return "Message (user) attribute types must be shorter than 256 Bytes"
    if not value:
        return f"Message (user) attribute '{name}' must contain a non-empty value of type '{kind}'."
    if prefix == "Number" and not _NUMBER.fullmatch(value):
        return f"Can't cast the value of message (user) attribute '{name}' to a number."
    if field == "StringValue" and sqs._INVALID_SQS_CHARS_RE.search(value):
        return f"Message (user) attribute '{name}' has invalid characters. Valid characters are {_ALLOWED}"
    return None


def _size(body: str, attributes: Mapping[str, Properties]) -> int:
    """The size of a message in bytes: its body, and names, types and values of its attributes."""
    size = len(body.encode())
    for name, attribute in attributes.items():
        size += len((name + str(attribute.get("DataType", ""))).encode())
        size += len(str(attribute.get("StringValue") or "").encode())
        size += len(base64.b64decode(attribute.get("BinaryValue") or b""))
    return size


# --- Batches


@around(sqs, "_validate_batch_entries")
def _validate_batch_entries(stock: Callable[..., None], entries: list[Properties], entry_name: str) -> None:
    if len(entries) > 10:
        text = f"Maximum number of entries per request are 10. You have sent {len(entries)}."
        raise error("TooManyEntriesInBatchRequest", text)
    stock(entries, entry_name)


@action(sqs, "SendMessageBatch")
def _send_batch(_stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    queue, entries = sqs._get_q(data.get("QueueUrl", qurl), "sqs:SendMessage"), data.get("Entries") or []
    sqs._validate_batch_entries(entries, "SendMessageBatchRequestEntry")
    sizes = (_size(str(one.get("MessageBody") or ""), one.get("MessageAttributes") or {}) for one in entries)
    if (total := sum(sizes)) > _LARGEST_BATCH:
        text = f"Batch requests cannot be longer than {_LARGEST_BATCH} bytes. You have sent {total} bytes."
        raise error("BatchRequestTooLong", text)
    if queue["is_fifo"]:
        by_content = queue["attributes"].get("ContentBasedDeduplication") == "true"
        for entry in entries:
            if not (by_content or entry.get("MessageDeduplicationId")):
                text = (
                    "The queue should either have ContentBasedDeduplication enabled or "
                    "MessageDeduplicationId provided explicitly"
                )
                raise error("InvalidParameterValue", text)
            if not entry.get("MessageGroupId"):
                text = "The request must contain the parameter MessageGroupId."
                raise error("InvalidParameterValue", text)
    # Not the emulator's, which sends messages without their system attributes.
    url = data.get("QueueUrl", qurl)
    return _each(entries, lambda one: sqs._act_send_message({**one, "QueueUrl": url}, url))


def _each(entries: Iterable[Properties], handle: Callable[[Properties], Properties | None]) -> Properties:
    """Handle each entry of a batch; the answer to it, or an error, is that of its entry."""
    answer: dict[str, list[Properties]] = {"Successful": [], "Failed": []}
    for entry in entries:
        try:
            answer["Successful"].append({**(handle(entry) or {}), "Id": entry["Id"]})
        except sqs._Err as refused:
            failure = {"Code": refused.code, "Message": refused.message, "SenderFault": True}
            answer["Failed"].append({"Id": entry["Id"], **failure})
    return answer


# --- Receiving


@action(sqs, "ReceiveMessage")
def _receive(stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    wait, timeout = data.get("WaitTimeSeconds"), data.get("VisibilityTimeout")
    if wait is not None and not 0 <= int(wait) <= 20:
        raise invalid("WaitTimeSeconds", wait, "Must be >= 0 and <= 20, if provided.")
    if timeout is not None and not 0 <= int(timeout) <= _LONGEST_TIMEOUT:
        raise invalid("VisibilityTimeout", timeout, f"Must be between 0 and {_LONGEST_TIMEOUT}, if provided.")
    check_readable(data.get("AttributeNames") or (), _OF_MESSAGES | READABLE)
    check_readable(data.get("MessageSystemAttributeNames") or (), _OF_MESSAGES | {"All"})
    return stock(data, qurl)


@around(sqs, "_collect_msgs", after=["sqs.shapes"])
def _collect_msgs(
    stock: Callable[..., list[Any]], q: dict[str, Any], max_n: int, vis_timeout: int
) -> list[Any]:
    received = stock(q, max_n, vis_timeout)
    for message in received:
        message["localaws_received"] = time.time()
    return received


# --- Receipt handles


def _received(queue: Properties, handle: str) -> Properties | None:
    """The message of a receipt handle; None if it is gone, or was received again."""
    if not _HANDLE.fullmatch(handle):
        raise error(
            "ReceiptHandleIsInvalid", f'The input receipt handle "{handle}" is not a valid receipt handle.'
        )
    messages = (message for message in queue["messages"] if message.get("receipt_handle") == handle)
    return next(messages, None)


@action(sqs, "DeleteMessage")
def _delete(stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    queue, handle = sqs._get_q(data.get("QueueUrl", qurl), "sqs:DeleteMessage"), data.get("ReceiptHandle")
    if not handle:
        return stock(data, qurl)
    message = _received(queue, handle)
    if message is None:
        return {}
    if queue["is_fifo"] and message["visible_at"] <= time.time():
        raise invalid("ReceiptHandle", handle, "The receipt handle has expired.")
    return stock(data, qurl)


@action(sqs, "DeleteMessageBatch")
def _delete_batch(_stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    url, entries = data.get("QueueUrl") or qurl, data.get("Entries") or []
    sqs._get_q(url, "sqs:DeleteMessage")
    sqs._validate_batch_entries(entries, "DeleteMessageBatchRequestEntry")
    return _each(entries, lambda entry: sqs._HANDLERS["DeleteMessage"]({**entry, "QueueUrl": url}, url))


@action(sqs, "ChangeMessageVisibility")
def _change(stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    queue, now = sqs._get_q(data.get("QueueUrl", qurl), "sqs:ChangeMessageVisibility"), time.time()
    timeout, handle = int(data.get("VisibilityTimeout", 30)), str(data.get("ReceiptHandle", ""))
    if not 0 <= timeout <= _LONGEST_TIMEOUT:
        reason = f"VisibilityTimeout must be an integer between 0 and {_LONGEST_TIMEOUT}."
        raise invalid("VisibilityTimeout", timeout, reason)
    message = _received(queue, handle)
    if message is None:
        reason = "Message does not exist or is not available for visibility timeout change."
        raise invalid("ReceiptHandle", handle, reason)
    if message["visible_at"] <= now:
        raise error("MessageNotInflight", "The specified message isn't in flight.")
    if now - message.get("localaws_received", now) + timeout > _LONGEST_TIMEOUT:
        reason = f"Total VisibilityTimeout for the message is beyond the limit [{_LONGEST_TIMEOUT} seconds]"
        raise invalid("VisibilityTimeout", timeout, reason)
    return stock(data, qurl)


@action(sqs, "ChangeMessageVisibilityBatch")
def _change_batch(_stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    url, entries = data.get("QueueUrl") or qurl, data.get("Entries") or []
    sqs._get_q(url, "sqs:ChangeMessageVisibility")
    sqs._validate_batch_entries(entries, "ChangeMessageVisibilityBatchRequestEntry")
    return _each(
        entries, lambda entry: sqs._HANDLERS["ChangeMessageVisibility"]({**entry, "QueueUrl": url}, url)
    )
