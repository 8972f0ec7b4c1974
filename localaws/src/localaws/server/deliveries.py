"""Delivers the event of a service that is not emulated, as that service does: in the server.

    deliver_as -> policy of the target asked -> the target's own API -> its own retries and destinations

Faithful to: functions, queues, topics and event buses of any account take an event from a service only if
their resource-based policy allows the principal, with the ARN and the account of the source as
`aws:SourceArn` and `aws:SourceAccount`. The default event bus takes the events of services of its own account
without a policy. A bucket takes an object: the target is its ARN, and the event its text. Alexa calls for no
resource, but with the id of the skill as `lambda:EventSourceToken`. A service that uses a role gets in with
that role instead: it must trust the service, and allow `lambda:InvokeFunction`. A poller of Lambda uses the
role of the function, which must trust Lambda and allow what the poller reads. Everything behind the
permission is that of the API: errors, sizes, versions and aliases, throttling, and the queue, retries and
destinations of asynchronous invocations.
Not to: the permission to use the KMS key of an encrypted queue or topic, and retries of the service itself.

https://docs.aws.amazon.com/lambda/latest/dg/access-control-resource-based.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/confused-deputy.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-service-event.html
https://docs.aws.amazon.com/codepipeline/latest/userguide/actions-invoke-lambda-function.html
"""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import quote
from uuid import uuid4

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import eventbridge, lambda_svc, s3, sns, sqs

from localaws.services.codepipeline.jobs import open_job
from localaws.services.config.evaluations import note_event
from localaws.services.iam.invocations import in_account_of, service_may_deliver
from localaws.services.iam.roles import role_allows, role_trusts
from localaws.services.lambda_.invocation import call

Answer = dict[str, Any]

_INVOKE = "lambda:InvokeFunction"
_CODEPIPELINE, _CONFIG = "codepipeline.amazonaws.com", "config.amazonaws.com"
# Of each service: the action, and the codes of a refusal and of a target that does not exist.
_CODES = {
    "lambda": (_INVOKE, "AccessDeniedException", "ResourceNotFoundException"),
    "sqs": ("sqs:SendMessage", "AccessDenied", "AWS.SimpleQueueService.NonExistentQueue"),
    "sns": ("sns:Publish", "AuthorizationError", "NotFound"),
    "events": ("events:PutEvents", "AccessDeniedException", "ResourceNotFoundException"),
    "s3": ("s3:PutObject", "AccessDenied", "NoSuchBucket"),
}


class _Refused(Exception):
    """The target does not take the event.

    Args:
        code: The error code of the target's API.
        message: Its message.
        status: Its HTTP status.
    """

    def __init__(self, code: str, message: str, status: int = 403) -> None:
        super().__init__(message)
        self.answer = {
            "Error": {"Code": code, "Message": message},
            "ResponseMetadata": {"HTTPStatusCode": status},
        }


async def deliver(request: dict[str, Any]) -> Answer:
    """Deliver an event, and return what became of it: the members of `Delivered`, or those of a ClientError.

    Args:
        request: What `delivery.request_to_deliver` returned.
    """
    target, event = request["target"], request["event"]
    try:
        with in_account_of(target):
            iam_evaluator.pin_request_origin("127.0.0.1", True)  # services use TLS: `aws:SecureTransport`
            _check_permission(request)
            match target.split(":")[2]:
                case "lambda":
                    if request["principal"] == _CODEPIPELINE:
                        open_job(json.loads(event))
                    elif request["principal"] == _CONFIG:
                        note_event(json.loads(event))
                    return await _invoke(target, event, request["invocation_type"])
                case "sqs":
                    return _send(target, _text(event))
                case "sns":
                    return _publish(target, _text(event))
                case "s3":
                    return _put_object(target, _text(event))
                case _:
                    return _put(target, json.loads(event))
    except _Refused as refused:
        return refused.answer


def _check_permission(request: dict[str, Any]) -> None:
    target, principal, source = request["target"], request["principal"], request["source_arn"]
    service, account = target.split(":")[2], target.split(":")[4]
    action, denied, missing = _CODES[service]
    is_own = account == request["source_account"] or service == "s3"
    if is_own and not _exists(target):
        raise _Refused(missing, f"{target} does not exist", 404)
    if request["role"]:
        _check_role(request)
    elif service == "events" and is_own and target.endswith(":event-bus/default"):
        return
    elif not service_may_deliver(
        target,
        principal,
        source,
        request["source_account"],
        event_source_token=request["event_source_token"],
    ):
        raise _Refused(
            denied,
            f"User: {principal} is not authorized to perform: {action} on resource: {target} because no "
            f"resource-based policy allows the {action} action",
        )


def _exists(target: str) -> bool:
    found: Any
    match target.split(":")[2]:
        case "lambda":
            found = lambda_svc._get_func_record_for_ref(target)[0]
        case "sqs":
            found = sqs._queue_by_arn(target)
        case "sns":
            found = sns._topic_by_arn_any_scope(target)
        case "s3":
            found = s3._bucket_owner_account(target.split(":")[5].partition("/")[0])
        case _:
            name = target.rpartition("/")[2]
            found = name == "default" or eventbridge._event_buses.get(name)
    return bool(found)


def _check_role(request: dict[str, Any]) -> None:
    role, principal, target = request["role"], request["principal"], request["target"]
    if not role_trusts(role, principal, request["source_arn"], request["source_account"]):
        message = f"User: {principal} is not authorized to perform: sts:AssumeRole on resource: {role}"
        raise _Refused("AccessDenied", message)
    reads = request["reads"]
    if reads:
        _record, config, _name = lambda_svc._get_func_record_for_ref(target)
        if config and config["Role"] != role:
            message = f"{role} is not the execution role of the function, which is {config['Role']}"
            raise _Refused("InvalidParameterValueException", message, 400)
    for action, resource in (reads or {_INVOKE: target}).items():
        if not role_allows(role, action, resource):
            name = f"arn:aws:sts::{role.split(':')[4]}:assumed-role/{role.rpartition('/')[2]}/session"
            raise _Refused(
                "AccessDeniedException",
                f"User: {name} is not authorized to perform: {action} on resource: {resource} because no "
                f"identity-based policy allows the {action} action",
            )


async def _invoke(function: str, event: str, invocation_type: str) -> Answer:
    """Invoke the function through its API, with all that Lambda checks and does."""
    request_id = str(uuid4())
    call.set(request_id)
    path = f"/2015-03-31/functions/{quote(function, safe='')}/invocations"
    headers = {"x-amz-invocation-type": invocation_type}
    status, answered, body = await lambda_svc.handle_request("POST", path, headers, event.encode(), {})
    payload: Any = json.loads(body) if body else None
    if status >= 300:
        raise _Refused(payload["__type"], payload["message"], status)
    return {"id": request_id, "payload": payload, "function_error": answered.get("X-Amz-Function-Error")}


def _send(queue: str, text: str) -> Answer:
    url = sqs._queue_url(queue.split(":")[-1])
    try:
        sent = sqs._act_send_message({"QueueUrl": url, "MessageBody": text}, url)
    except sqs._Err as error:
        raise _Refused(error.code, error.message, error.status) from error
    return {"id": sent["MessageId"]}


def _publish(topic: str, text: str) -> Answer:
    status, _headers, body = sns._publish({"TopicArn": [topic], "Message": [text]})
    found = dict(re.findall(r"<(Code|Message|MessageId)>(.*?)</", body.decode(), re.DOTALL))
    if status >= 300:
        raise _Refused(found["Code"], found["Message"], status)
    return {"id": found["MessageId"]}


def _put_object(arn: str, text: str) -> Answer:
    bucket, _, key = arn.split(":", 5)[5].partition("/")
    with request_scope(s3._bucket_owner_account(bucket) or get_account_id(), get_region()):
        status, headers, body = s3._put_object(bucket, key, text.encode(), {})
    if status >= 300:
        found = dict(re.findall(r"<(Code|Message)>(.*?)</", body.decode(), re.DOTALL))
        raise _Refused(found["Code"], found["Message"], status)
    return {"id": str(headers["ETag"])}


def _put(bus: str, event: Any) -> Answer:
    event = event if isinstance(event, dict) else {}
    entry = {
        "EventBusName": bus,
        "Source": event.get("source"),
        "DetailType": event.get("detail-type"),
        "Detail": json.dumps(event.get("detail")),
        "Resources": event.get("resources", []),
    }
    _status, _headers, body = eventbridge._put_events({"Entries": [entry]}, allow_aws_source=True)
    (result,) = json.loads(body)["Entries"]
    if "ErrorCode" in result:
        raise _Refused(result["ErrorCode"], result["ErrorMessage"], 400)
    return {"id": result["EventId"]}


def _text(event: str) -> str:
    """The body of a message: the event as JSON, or the event itself if it is a text."""
    value = json.loads(event)
    return value if isinstance(value, str) else event
