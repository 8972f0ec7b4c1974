"""Which queues SQS accepts: their names, their attributes, and when one may be created or purged again.

The emulator stores attributes that do not exist, takes every queue whose name ends in `.fifo` for a FIFO
queue, and lets a template overwrite a queue that exists.

Faithful to: through the API and in CloudFormation,
- a name has 1 to 80 letters, digits, hyphens and underscores; that of a FIFO queue ends in `.fifo`, and only
  with FifoQueue; FifoQueue is `true` or left out, and never changes;
- attributes of FIFO queues on standard queues, read-only and unknown attributes, values out of range, two
  kinds of encryption and high throughput without its deduplication scope are refused;
- a queue that exists is only created again with the attributes that it has, and not by a template;
- 60 seconds pass between the deletion of a queue and a new one with its name, and between two purges.
Not to: these 60 seconds, which are shortened (LOCALAWS_SECONDS_PER_MINUTE: two seconds); the contents of a
policy, which is only required to be JSON; tags.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_CreateQueue.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_PurgeQueue.html
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-sqs-queue.html
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import sqs
from ministack.services.cloudformation import provisioners

from localaws.pace import shortened
from localaws.patching import Created, Handler, Properties, action, around, on_reset, replaces, resource

_NAME, _FIFO_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}"), re.compile(r"[A-Za-z0-9_-]{1,75}\.fifo")
_PAUSE = 60  # seconds

_RANGES = {
    "DelaySeconds": (0, 900),
    "KmsDataKeyReusePeriodSeconds": (60, 86_400),
    "MaximumMessageSize": (1024, 1_048_576),
    "MessageRetentionPeriod": (60, 1_209_600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43_200),
}
_CHOICES = {
    "ContentBasedDeduplication": ("true", "false"),
    "DeduplicationScope": ("queue", "messageGroup"),
    "FifoQueue": ("true",),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
    "SqsManagedSseEnabled": ("true", "false"),
}
_ONLY_OF_FIFO = ("ContentBasedDeduplication", "DeduplicationScope", "FifoQueue", "FifoThroughputLimit")
_SETTABLE = {*_RANGES, *_CHOICES, "KmsMasterKeyId", "Policy", "RedriveAllowPolicy", "RedrivePolicy"}
#: What GetQueueAttributes may be asked for.
READABLE = {
    *_SETTABLE,
    "All",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
    "QueueArn",
}
#: What an attribute is on a queue that was created without it.
_DEFAULTS = {"SqsManagedSseEnabled": "true", "KmsDataKeyReusePeriodSeconds": "300"}

_deleted: dict[tuple[str, str, str], float] = {}
on_reset(_deleted.clear)


def invalid(name: str, value: object, reason: str) -> Exception:
    """The error for a parameter with a value that SQS refuses."""
    return error("InvalidParameterValue", f"Value {value} for parameter {name} is invalid. Reason: {reason}")


def error(code: str, text: str, status: int = 400) -> Exception:
    """An error of SQS."""
    made: Exception = sqs._Err(code, text, status)
    return made


def check_readable(names: Iterable[str], readable: Iterable[str]) -> None:
    """Refuse to read an attribute that does not exist."""
    for name in names:
        if name not in readable:
            raise error("InvalidAttributeName", f"Unknown Attribute {name}.")


# --- Names and attributes


def _check_name(name: str, fifo: bool) -> None:
    if fifo and not _FIFO_NAME.fullmatch(name):
        text = (
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, "
            "must end with .fifo suffix and be 1 to 80 in length."
        )
        raise error("InvalidParameterValue", text)
    if not fifo and not _NAME.fullmatch(name):
        text = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length"
        raise error("InvalidParameterValue", text)


def _check_kind(attributes: Mapping[str, Any], fifo: bool) -> None:
    """Refuse attributes that a queue of this kind does not have."""
    for name in attributes:
        if name not in _SETTABLE or (not fifo and name in ("FifoQueue", "ContentBasedDeduplication")):
            raise error("InvalidAttributeName", f"Unknown Attribute {name}.")
        if not fifo and name in _ONLY_OF_FIFO:
            text = f"You can specify the {name} only when FifoQueue is set to true."
            raise error("InvalidAttributeName", text)


@replaces(sqs, "_validate_numeric_attrs")
def _check_values(attrs: Mapping[str, Any]) -> None:
    """Refuse attributes with a value that they cannot have, not only numbers."""
    for name, value in attrs.items():
        if not _is_allowed(name, str(value)):
            raise error("InvalidAttributeValue", f"Invalid value for the parameter {name}.")
    allowed = attrs.get("RedriveAllowPolicy")
    if allowed and not _allows_sources(_parsed(allowed)):
        text = f"Value {allowed} for parameter RedriveAllowPolicy is invalid."
        raise error("InvalidParameterValue", text)
    if attrs.get("KmsMasterKeyId") and attrs.get("SqsManagedSseEnabled") == "true":
        text = (
            "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE "
            "or SQS SSE."
        )
        raise error("InvalidAttributeName", text)


def _is_allowed(name: str, value: str) -> bool:
    if name in _RANGES:
        low, high = _RANGES[name]
        return bool(re.fullmatch(r"\d{1,9}", value, re.ASCII)) and low <= int(value) <= high
    if name == "Policy" and value:
        return _parsed(value) is not None
    return name not in _CHOICES or value in _CHOICES[name]


def _parsed(policy: str) -> dict[str, Any] | None:
    """A policy; None if it is no JSON object."""
    try:
        found = json.loads(policy)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _allows_sources(policy: dict[str, Any] | None) -> bool:
    """Whether a RedriveAllowPolicy is one: `byQueue` with 1 to 10 source queues, others with none."""
    permission, sources = (policy or {}).get("redrivePermission"), (policy or {}).get("sourceQueueArns", [])
    if permission == "byQueue":
        return isinstance(sources, list) and 1 <= len(sources) <= 10
    return permission in ("allowAll", "denyAll") and not sources


def _check_throughput(attributes: Mapping[str, Any]) -> None:
    per_group = attributes.get("FifoThroughputLimit") == "perMessageGroupId"
    if per_group and attributes.get("DeduplicationScope") != "messageGroup":
        text = (
            "Invalid value for the parameter FifoThroughputLimit. Reason: To set FifoThroughputLimit to "
            "perMessageGroupId, the DeduplicationScope must be messageGroup."
        )
        raise error("InvalidAttributeValue", text)


# --- The API


@action(sqs, "CreateQueue", after=["sqs.dead_letter_queues"])
def _create_queue(stock: Callable[..., Any], data: Properties, _u: str) -> Any:
    name, attributes = str(data.get("QueueName", "")), data.get("Attributes") or {}
    fifo = attributes.get("FifoQueue") == "true"
    if name:
        _check_name(name, fifo)
    _check_kind(attributes, fifo)
    _check_throughput(attributes)
    queue = sqs._queues.get(sqs._queue_url(name))
    if queue is None:
        _check_pause(name)
        return stock(data, _u)
    for one, value in attributes.items():
        if queue["attributes"].get(one, _DEFAULTS.get(one, "")) != value:
            text = "A queue already exists with the same name and a different value for attribute"
            raise error("QueueNameExists", f"{text} {one}")
    return stock(data, _u)


@action(sqs, "SetQueueAttributes", after=["sqs.dead_letter_queues"])
def _set_queue_attributes(stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    queue, attributes = sqs._get_q(data.get("QueueUrl") or qurl), data.get("Attributes") or {}
    if queue["is_fifo"] and attributes.get("FifoQueue", "true") != "true":
        text = "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported."
        raise error("InvalidAttributeValue", text)
    _check_kind(attributes, queue["is_fifo"])
    _check_throughput({**queue["attributes"], **attributes})
    return stock(data, qurl)


@action(sqs, "GetQueueAttributes", after=["sqs.encryption"])
def _get_queue_attributes(stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    check_readable(data.get("AttributeNames") or (), READABLE)
    return stock(data, qurl)


@action(sqs, "DeleteQueue")
def _delete_queue(stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    name = sqs._get_q(data.get("QueueUrl") or qurl)["name"]
    deleted = stock(data, qurl)
    _note_deletion(name)
    return deleted


@action(sqs, "PurgeQueue")
def _purge_queue(stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    queue = sqs._get_q(data.get("QueueUrl") or qurl, "sqs:PurgeQueue")
    now = time.monotonic()
    if now < queue.get("localaws_purged", -_PAUSE) + shortened(_PAUSE):
        text = f"Only one PurgeQueue operation on {queue['name']} is allowed every 60 seconds."
        raise error("PurgeQueueInProgress", text, 403)
    queue["localaws_purged"] = now
    return stock(data, qurl)


def _note_deletion(name: str) -> None:
    _deleted[get_account_id(), get_region(), name] = time.monotonic()


def _check_pause(name: str) -> None:
    at = _deleted.get((get_account_id(), get_region(), name))
    if at is not None and time.monotonic() < at + shortened(_PAUSE):
        text = "You must wait 60 seconds after deleting a queue before you can create another with the same"
        raise error("QueueDeletedRecently", f"{text} name.")


# --- Templates


@around(provisioners, "_sqs_queue_name")
def _queue_name(
    stock: Callable[..., tuple[str, bool]], props: Properties, stack_name: str, logical_id: str
) -> tuple[str, bool]:
    if props.get("QueueName"):
        _check_name(str(props["QueueName"]), _text(props.get("FifoQueue")) == "true")
    return stock(props, stack_name, logical_id)


@around(provisioners, "_sqs_queue_fields", after=["sqs.dead_letter_queues"])
def _queue_fields(stock: Callable[..., dict[str, Any]], props: Properties, is_fifo: bool) -> dict[str, Any]:
    _check_kind({name: props[name] for name in _ONLY_OF_FIFO if name in props}, is_fifo)
    _check_throughput(props)
    return stock(props, is_fifo)


_QUEUE = resource("AWS::SQS::Queue", after=["sqs.shapes"])


@_QUEUE.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    if name := properties.get("QueueName"):
        if name in sqs._queue_name_to_url:
            raise ValueError(f"Resource of type 'AWS::SQS::Queue' with identifier '{name}' already exists.")
        _check_pause(str(name))
    return stock(logical_id, properties, stack)


@_QUEUE.delete
def _delete(stock: Callable[..., None], physical_id: str, properties: Properties) -> None:
    queue = sqs._queues.get(physical_id)
    stock(physical_id, properties)
    if queue:
        _note_deletion(queue["name"])


def _text(value: object) -> str:
    return str(value).lower()
