"""Receipt handles, sequence numbers and sender ids as long as those of SQS.

Faithful to: a receipt handle is long base64 and new each time that the message is received. A sequence number
of a FIFO queue has 20 digits without leading zeros, is the same in the response and in the message, and
increases. `SenderId` is the unique id of the user (`AIDA…`), or the id of the role and the name of the
session (`AROA…:name`); for a root user, it is the account's id.
Not to: how AWS makes them. Messages that a service sends without a role have one sender id for all services.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-queue-message-identifiers.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
"""

from __future__ import annotations

import base64
import os
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from ministack.core import iam_evaluator, router
from ministack.services import sqs

from localaws.patching import Created, Handler, Properties, action, around, resource

_FIRST_SEQUENCE_NUMBER = 18849496460467696128
_SERVICE = "AIDAIT2UOQQY3AUEKVGXU"

#: The unique id of the caller; without a caller, that of a service.
_sender: ContextVar[str] = ContextVar("localaws_sqs_sender", default=_SERVICE)


@around(sqs, "_collect_msgs")
def _collect_msgs(
    stock: Callable[..., list[Any]], q: dict[str, Any], max_n: int, vis_timeout: int
) -> list[Any]:
    received = stock(q, max_n, vis_timeout)
    for message in received:
        message["receipt_handle"] = "AQEB" + base64.b64encode(os.urandom(255)).decode()
    return received


# --- Sequence numbers


@action(sqs, "CreateQueue")
def _create_queue(stock: Callable[[Properties, str], Properties], data: Properties, _u: str) -> Properties:
    created = stock(data, _u)
    _number(sqs._queue_url(data["QueueName"]))
    return created


@resource("AWS::SQS::Queue").create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    url, attributes = stock(logical_id, properties, stack)
    _number(url)
    return url, attributes


def _number(url: str) -> None:
    """Let a new queue count from a number of 20 digits."""
    queue = sqs._queues[url]
    queue["fifo_seq"] = queue["fifo_seq"] or _FIRST_SEQUENCE_NUMBER


# --- Senders


@around(sqs, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
) -> Any:
    caller = iam_evaluator.resolve_credential(router.extract_access_key_id(headers, query_params))
    token = _sender.set(getattr(caller, "principal_id", "") or _SERVICE)
    try:
        return await stock(method, path, headers, body, query_params)
    finally:
        _sender.reset(token)


@around(sqs, "_build_send_sys_attrs")
def _build_send_sys_attrs(
    stock: Callable[..., dict[str, str]], now: float, sys_attrs_input: dict[str, Any]
) -> dict[str, str]:
    return stock(now, sys_attrs_input) | {"SenderId": _sender.get()}


@around(sqs, "_ensure_msg_fields")
def _ensure_msg_fields(stock: Callable[[dict[str, Any]], None], m: dict[str, Any]) -> None:
    """Complete a message; those of SNS, S3 and EventBridge have no sender, or an invented one."""
    is_new = "sys" not in m or m["sys"].get("SenderId") == "AROAEXAMPLE"
    stock(m)
    if is_new:
        m["sys"]["SenderId"] = _SERVICE
