"""Resends the events in a failure queue once the cause of the failures is fixed.

SQS's own redrive moves messages back to a source *queue*, and neither an asynchronous invocation nor a stream
has one. Seven kinds of messages are supported:

- Lambda's record of a failed asynchronous invocation (the on-failure destination):
  https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
- a record in the same format from a handler that knows that a retry is pointless (``PermanentFailure``);
- the raw event that Lambda sends to a function's dead-letter queue, with the error in its attributes:
  https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-add-dlq.html
- the raw event from the dead-letter queue of an EventBridge rule, with the target in its attributes:
  https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
- the same from the dead-letter queue of a schedule of EventBridge Scheduler:
  https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
- the notification from the dead-letter queue of an SNS subscription, which SNS could not deliver to the
  function: https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
- a record of a stream that a function refused, with its data in ``payload``. Lambda's own messages about
  batches that it discarded lack that; they stay in the queue, and name where the records are in the stream:
  https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import boto3
from botocore.exceptions import ClientError

from scenarios.support.queues import make_visible

# Long enough to collect and resend a thousand messages while they are invisible to other readers.
_HOLD_SECONDS = 300

# Long polling queries all of SQS's servers, short polling only some.
_LONG_POLL_SECONDS = 1


@dataclass(frozen=True)
class FailedEvent:
    """An event that a function could not process, as the failure queue holds it.

    Args:
        function: Name of the function, if the message contains it.
        event: The event of the invocation.
        reason: Type and message of the error.
        condition: ``RetriesExhausted``, ``EventAgeExceeded``, ``PermanentFailure``, ``DeadLetter`` or
            ``Undelivered``.
        attempts: Number of invocations, if the message contains it.
        of_stream: Whether the event is a batch of a stream: the function returns which record failed.
    """

    function: str | None
    event: Any
    reason: str
    condition: str
    attempts: int | None = None
    of_stream: bool = False


@dataclass
class RedriveReport:
    """Result of a redrive.

    Args:
        resent: Number of messages whose event Lambda accepted, or whose batch its function processed (on a
            dry run: that would be sent).
        left: Number of messages that stayed in the queue, by reason; `tell` gets the details.
        reasons: Number of resent events, by the reason why they had failed.
    """

    resent: int = 0
    left: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)


class NotUnderstood(Exception):
    """The message is none of the supported kinds, or its event cannot be sent.

    Args:
        reason: What many messages may have in common.
        details: What only this message says.
    """

    def __init__(self, reason: str, details: str = "") -> None:
        super().__init__(f"{reason}: {details}" if details else reason)
        self.reason = reason


def redrive(
    session: boto3.Session,
    *,
    queue_url: str,
    function_name: str,
    limit: int = 1000,
    dry_run: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> RedriveReport:
    """Invoke the function again with each event in its failure queue.

    All messages are collected first and resent afterwards, so that an event that fails again at once, and
    returns to the queue as a new message, is not resent by the same run. A message is deleted only after
    Lambda has accepted its event, so no event is lost; a crash in between resends an event, which idempotent
    handlers tolerate.

    Args:
        session: Reaches the account of the stack.
        queue_url: The failure queue.
        function_name: The function; messages about other functions stay in the queue.
        limit: Maximum number of messages.
        dry_run: Only report what a redrive would do.
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
                report.left[problem.reason] += 1
                tell(f"left in the queue: {message_id}: {problem}")
                continue
            report.resent += 1
            report.reasons[failed.reason] += 1
            tell(f"{'would resend' if dry_run else 'resent'}: {failed.condition}: {failed.reason}")
            if not dry_run:
                sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
                del held[message_id]
    finally:
        make_visible(sqs, queue_url, held.values())
    return report


def parse(message: dict[str, Any]) -> FailedEvent:
    """Read a message from a failure queue, of any of the seven kinds.

    Raises:
        NotUnderstood: It is none of them.
    """
    try:
        body = json.loads(message["Body"])
    except ValueError:
        raise NotUnderstood("its body is not JSON") from None
    attributes = message.get("MessageAttributes") or {}
    if "RequestID" in attributes and "ErrorCode" in attributes:
        return _from_dead_letter(body, attributes)
    if "TARGET_ARN" in attributes and ("RULE_ARN" in attributes or "SCHEDULE_ARN" in attributes):
        return _from_rule(body, attributes)
    if isinstance(body, dict) and body.get("Type") == "Notification" and "TopicArn" in body:
        return _from_topic(body, attributes)
    if isinstance(body, dict) and "requestContext" in body and "requestPayload" in body:
        return _from_record(body, body["requestPayload"])
    if isinstance(body, dict) and "requestContext" in body and _BATCH_INFO & body.keys():
        return _from_stream(body)
    raise NotUnderstood(
        "it is neither a record of a failed invocation nor an event with the attributes of its error"
    )


# https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
# https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
_BATCH_INFO = {"KinesisBatchInfo", "DDBStreamBatchInfo"}


def _from_stream(body: dict[str, Any]) -> FailedEvent:
    if "payload" not in body:
        batch = body[next(iter(_BATCH_INFO & body.keys()))]
        raise NotUnderstood(
            "it has no data, only where its records are until their retention ends",
            f"{batch.get('startSequenceNumber')} to {batch.get('endSequenceNumber')} in "
            f"{batch.get('shardId')} of {batch.get('streamArn')}",
        )
    try:
        event = json.loads(body["payload"])
    except (TypeError, ValueError):
        raise NotUnderstood("its payload is not JSON") from None
    return replace(_from_record(body, event), of_stream=True)


def _from_record(body: dict[str, Any], event: Any) -> FailedEvent:
    context, payload = body["requestContext"], body.get("responsePayload")
    if not isinstance(context, dict) or not isinstance(context.get("functionArn"), str):
        raise NotUnderstood("its record does not say which function failed")
    if isinstance(payload, dict):
        error_type, error = payload.get("errorType", "Error"), payload.get("errorMessage", "")
        reason = f"{error_type}: {error}"
    else:  # the event exceeded its maximum age
        reason = "no answer from the function"
    return FailedEvent(
        _name_in(context["functionArn"]),
        event,
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
    return FailedEvent(_name_in(values["TARGET_ARN"]), event, reason, "Undelivered")


def _from_topic(body: dict[str, Any], attributes: dict[str, Any]) -> FailedEvent:
    """The event that SNS would have invoked the function with."""
    notification = {
        "Subject": None,
        "MessageAttributes": {},
        **body,
        "SigningCertUrl": body.get("SigningCertURL", ""),
        "UnsubscribeUrl": body.get("UnsubscribeURL", ""),
    }
    notification = {name: notification[name] for name in notification if not name.endswith("URL")}
    record = {
        "EventSource": "aws:sns",
        "EventVersion": "1.0",
        "EventSubscriptionArn": body["TopicArn"],
        "Sns": notification,
    }
    values = _texts(attributes)
    reason = f"{values.get('ERROR_CODE', 'unknown')}: {values.get('ERROR_MESSAGE', '')}"
    return FailedEvent(None, {"Records": [record]}, reason, "Undelivered")


def _texts(attributes: dict[str, Any]) -> dict[str, str]:
    return {name: str(attribute.get("StringValue", "")) for name, attribute in attributes.items()}


def _name_in(function_arn: str) -> str:
    """The function's name in its ARN, with or without a qualifier."""
    parts = function_arn.split(":")
    return parts[6] if len(parts) > 6 else function_arn


def _check_function(failed: FailedEvent, function_name: str) -> None:
    """Check that the message is about this function. A message never decides which function is invoked."""
    if failed.function is not None and failed.function != _name_in(function_name):
        raise NotUnderstood(f"it is about another function: {failed.function}")


def _resend(lambda_: Any, failed: FailedEvent, function_name: str) -> None:
    """Invoke the function; wait for the batch of a stream, since its response says whether it failed."""
    kind = "RequestResponse" if failed.of_stream else "Event"
    try:
        answer = lambda_.invoke(
            FunctionName=function_name, InvocationType=kind, Payload=json.dumps(failed.event).encode()
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in _ABOUT_THIS_EVENT:
            raise NotUnderstood(f"Lambda rejects its event: {error}") from error
        raise  # the function does not exist, or access is denied: every message would fail
    if failed.of_stream:
        result = json.loads(answer["Payload"].read() or "null")
        if "FunctionError" in answer or (result or {}).get("batchItemFailures"):
            raise NotUnderstood("its function failed again", json.dumps(result))


_ABOUT_THIS_EVENT = {"InvalidRequestContentException", "RequestTooLargeException"}


def _collect(sqs: Any, queue_url: str, limit: int, *, into: dict[str, dict[str, Any]]) -> None:
    """Receive every message once, until the queue is empty."""
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
