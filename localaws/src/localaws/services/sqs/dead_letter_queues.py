"""Which dead-letter queue SQS accepts, in AWS's words.

The emulator accepts a standard queue for a FIFO queue, and the other way round, and has one text for all that
it refuses.

Faithful to: CreateQueue, SetQueueAttributes and CloudFormation refuse a dead-letter queue of another kind, of
another account or Region, and one that does not exist; a redrive policy has both of its members and no other,
and a maxReceiveCount of 1 to 1,000.
Not to: the RedriveAllowPolicy of the dead-letter queue, which is only recorded.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import sqs
from ministack.services.cloudformation import provisioners

from localaws.patching import Properties, action, around, replaces

_MEMBERS = ("deadLetterTargetArn", "maxReceiveCount")


@replaces(sqs, "_validate_redrive_policy")
def _validate_redrive_policy(rp_str: str) -> None:
    try:
        policy = json.loads(rp_str)
    except ValueError:
        policy = None
    if not isinstance(policy, dict):
        raise _refused(rp_str, "Redrive policy is not a valid JSON map.")
    if any(name not in _MEMBERS for name in policy):
        raise _refused(rp_str, f"Only following attributes are supported: [{', '.join(_MEMBERS)}].")
    for name in reversed(_MEMBERS):
        if policy.get(name) in (None, ""):
            raise _refused(rp_str, f"Redrive policy does not contain mandatory attribute: {name}.")
    count = str(policy["maxReceiveCount"])
    if not re.fullmatch(r"\d{1,4}", count, re.ASCII) or not 1 <= int(count) <= 1000:
        raise _refused(rp_str, "Invalid value for maxReceiveCount.")
    arn = _dead_letter_queue(rp_str)
    if arn is None:
        raise _refused(rp_str, "Invalid value for deadLetterTargetArn.")
    *_, region, account, _name = arn.split(":")
    if (region, account) != (get_region(), get_account_id()):
        raise _refused(rp_str, "Dead-letter target owner should be same as the source.")
    if sqs._queue_by_arn(arn) is None:
        raise _refused(rp_str, "Dead letter target does not exist.")


@action(sqs, "CreateQueue", after=["sqs.shapes"])
def _create_queue(stock: Callable[..., Any], data: Properties, _u: str) -> Any:
    fifo = str(data.get("QueueName", "")).endswith(".fifo")
    _require_same_kind((data.get("Attributes") or {}).get("RedrivePolicy"), fifo)
    return stock(data, _u)


@action(sqs, "SetQueueAttributes")
def _set_queue_attributes(stock: Callable[..., Any], data: Properties, qurl: str) -> Any:
    fifo = str(data.get("QueueUrl") or qurl).endswith(".fifo")
    _require_same_kind((data.get("Attributes") or {}).get("RedrivePolicy"), fifo)
    return stock(data, qurl)


@around(provisioners, "_sqs_queue_fields")
def _queue_fields(stock: Callable[..., dict[str, Any]], props: Properties, is_fifo: bool) -> dict[str, Any]:
    fields = stock(props, is_fifo)
    _require_same_kind(fields.get("RedrivePolicy"), is_fifo)
    return fields


def _require_same_kind(policy: Any, fifo: bool) -> None:
    arn = _dead_letter_queue(policy)
    if arn and arn.endswith(".fifo") != fifo:
        raise _refused(policy, "Dead-letter queue must be same type of queue as the source.")


def _dead_letter_queue(policy: Any) -> str | None:
    """The ARN in a redrive policy; None if there is none that is an ARN of a queue."""
    try:
        arn = json.loads(policy).get("deadLetterTargetArn")
    except (TypeError, ValueError, AttributeError):
        return None
    return arn if isinstance(arn, str) and arn.count(":") == 5 and ":sqs:" in arn else None


def _refused(policy: Any, reason: str) -> Exception:
    text = f"Value {policy} for parameter RedrivePolicy is invalid. Reason: {reason}"
    error: Exception = sqs._Err("InvalidParameterValue", text, 400)
    return error
