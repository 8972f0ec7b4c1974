"""Resends what a failure queue holds, once the cause is mended.

SQS's own redrive cannot: it moves messages back to a source *queue*, and an asynchronous invocation has
none. Four kinds of message are understood:

- Lambda's record of a failed asynchronous invocation (the on-failure destination):
  https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
- the same form made by a handler that knows that trying again is pointless (``PermanentFailure``);
- the raw event that Lambda sends to a function's dead-letter queue, with the error in its attributes:
  https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-add-dlq.html
- the raw event that EventBridge keeps when a rule cannot hand it over, with the target in its attributes:
  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.exceptions import ClientError

# Long enough to collect and resend a thousand messages while nobody else sees them.
_HOLD_SECONDS = 300

# Long polling asks all of SQS's servers, short polling only some.
_LONG_POLL_SECONDS = 1


@dataclass(frozen=True)
class FailedEvent:
    """An event that a function could not handle, as its failure queue kept it.

    Args:
        function: Name of the function, where the message says it.
        event: What the function was invoked with.
        reason: Type and message of the error.
        condition: ``RetriesExhausted``, ``EventAgeExceeded``, ``PermanentFailure``, ``DeadLetter`` or
            ``NotDelivered``.
        attempts: How often the function was tried, where the message says it.
    """

    function: str | None
    event: Any
    reason: str
    condition: str
    attempts: int | None = None


@dataclass
class RedriveReport:
    """What a redrive did.

    Args:
        resent: Messages whose event was accepted by the function (or would be sent, on a dry run).
        left: Why messages stayed in the queue, and how many for each reason.
        reasons: Why the events had failed, and how many for each reason.
    """

    resent: int = 0
    left: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


class NotUnderstood(Exception):
    """The message is of none of the known kinds; the text says what is wrong with it."""


def redrive(
    session: boto3.Session,
    *,
    queue_url: str,
    function_name: str,
    limit: int = 1000,
    dry_run: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> RedriveReport:
    """Invoke the function again with each event that its failure queue holds.

    All messages are collected first and resent afterwards: an event that fails again at once comes back to
    the queue as a new message, and must not be met again by the same run. A message is deleted only after
    Lambda accepted its event, so an event is never lost; a crash in between resends it twice, which the
    handlers bear.

    Args:
        session: Reaches the account of the stack.
        queue_url: The failure queue.
        function_name: The function; messages about any other one are left where they are.
        limit: How many messages are taken at most.
        dry_run: Only say what would be done.
        tell: Called with a line for each message.
    """
    sqs, lambda_ = session.client("sqs"), session.client("lambda")
    report = RedriveReport()
    held: dict[str, dict[str, Any]] = {}
    try:
        _collect(sqs, queue_url, limit, into=held)
        for message_id, message in list(held.items()):
            try:
                failed = parse(message)
                _check_function(failed, function_name)
                if not dry_run:
                    _resend(lambda_, failed, function_name)
            except NotUnderstood as problem:
                report.left[str(problem)] += 1
                tell(f"left in the queue: {message_id}: {problem}")
                continue
            report.resent += 1
            report.reasons[failed.reason] += 1
            tell(f"{'would resend' if dry_run else 'resent'}: {failed.condition}: {failed.reason}")
            if not dry_run:
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                del held[message_id]
    finally:
        for message in held.values():
            sqs.change_message_visibility(
                QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
            )
    return report


def parse(message: dict[str, Any]) -> FailedEvent:
    """Read a message of a failure queue, in any of the four forms.

    Raises:
        NotUnderstood: It is of none of them.
    """
    try:
        body = json.loads(message["Body"])
    except ValueError:
        raise NotUnderstood("its body is not JSON") from None
    attributes = message.get("MessageAttributes") or {}
    if "RequestID" in attributes and "ErrorCode" in attributes:
        return _from_dead_letter(body, attributes)
    if "RULE_ARN" in attributes and "TARGET_ARN" in attributes:
        return _from_rule(body, attributes)
    if isinstance(body, dict) and "requestContext" in body and "requestPayload" in body:
        return _from_record(body)
    raise NotUnderstood(
        "it is neither a record of a failed invocation nor an event with its error's attributes"
    )


def _from_record(body: dict[str, Any]) -> FailedEvent:
    context, payload = body["requestContext"], body.get("responsePayload")
    if not isinstance(context, dict) or not isinstance(context.get("functionArn"), str):
        raise NotUnderstood("its record does not say which function failed")
    if isinstance(payload, dict):
        error_type, error = payload.get("errorType", "Error"), payload.get("errorMessage", "")
        reason = f"{error_type}: {error}"
    else:  # an event that grew too old was never answered
        reason = "no answer from the function"
    return FailedEvent(
        _name_in(context["functionArn"]),
        body["requestPayload"],
        reason,
        str(context.get("condition", "unknown condition")),
        context.get("approximateInvokeCount"),
    )


def _from_dead_letter(event: Any, attributes: dict[str, Any]) -> FailedEvent:
    values = _texts(attributes)
    reason = values.get("ErrorMessage") or f"error code {values.get('ErrorCode', 'unknown')}"
    return FailedEvent(None, event, reason, "DeadLetter")


def _from_rule(event: Any, attributes: dict[str, Any]) -> FailedEvent:
    values = _texts(attributes)
    reason = f"{values.get('ERROR_CODE', 'unknown')}: {values.get('ERROR_MESSAGE', '')}"
    return FailedEvent(_name_in(values["TARGET_ARN"]), event, reason, "NotDelivered")


def _texts(attributes: dict[str, Any]) -> dict[str, str]:
    return {name: str(attribute.get("StringValue", "")) for name, attribute in attributes.items()}


def _name_in(function_arn: str) -> str:
    """The function's name in its ARN, with or without a qualifier."""
    parts = function_arn.split(":")
    return parts[6] if len(parts) > 6 else function_arn


def _check_function(failed: FailedEvent, function_name: str) -> None:
    """Never invoke what a message names: only what the stack has."""
    if failed.function is not None and failed.function != _name_in(function_name):
        raise NotUnderstood(f"it is about another function: {failed.function}")


def _resend(lambda_: Any, failed: FailedEvent, function_name: str) -> None:
    try:
        lambda_.invoke(
            FunctionName=function_name, InvocationType="Event", Payload=json.dumps(failed.event).encode()
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABOUT_THIS_EVENT:
            raise NotUnderstood(f"Lambda does not accept its event: {error}") from error
        raise  # the function is gone, or we may not invoke it: the same for every message


_ABOUT_THIS_EVENT = {"InvalidRequestContentException", "RequestTooLargeException"}


def _collect(sqs: Any, queue_url: str, limit: int, *, into: dict[str, dict[str, Any]]) -> None:
    """Receive until the queue has no more, each message once."""
    while len(into) < limit:
        answer = sqs.receive_message(
            QueueUrl=queue_url,
            MaxNumberOfMessages=min(10, limit - len(into)),
            VisibilityTimeout=_HOLD_SECONDS,
            WaitTimeSeconds=_LONG_POLL_SECONDS,
            MessageAttributeNames=["All"],
        )
        new = {one["MessageId"]: one for one in answer.get("Messages", []) if one["MessageId"] not in into}
        if not new:
            return
        into.update(new)
