"""HTTP APIs that call EventBridge, SQS and Kinesis without a function.

    request -> parameters of the action, by `RequestParameters` -> the service, as the integration's role

The emulator knows only functions and HTTP behind an HTTP API.

Faithful to: the subtypes `EventBridge-PutEvents`, `SQS-SendMessage`, `-ReceiveMessage`, `-DeleteMessage`,
`-PurgeQueue` and `Kinesis-PutRecord`, their required and optional parameters (others are refused); the client
gets status and body of the service, or what response parameters make of them. The role must trust
`apigateway.amazonaws.com` and may perform the action on the resource. `Region` calls another Region.
For Step Functions see `apigateway.state_machines`.
Not to: `AppConfig-GetConfiguration`; whether SQS answers in JSON, as here, or in XML. A parameter that is a
list or a map in the service's API is read as JSON.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-aws-services.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-aws-services-reference.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ministack import app
from ministack.core.responses import error_response_json, get_account_id, get_region, request_scope
from ministack.services import apigateway

from localaws import strict_json
from localaws.patching import around
from localaws.services.apigateway import exchanges, parameter_mappings
from localaws.services.apigateway.requests import Response
from localaws.services.iam.roles import role_allows, role_trusts

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Subtype:
    """An action of a service that an HTTP API calls.

    Args:
        service: The service, as its IAM actions and ARNs name it.
        protocol: What precedes the action in `X-Amz-Target`.
        required: Parameters that the integration must have.
        optional: Parameters that it may have, besides `Region`.
    """

    service: str
    protocol: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


_QUEUE = ("sqs", "AmazonSQS")
_STATES = ("states", "AWSStepFunctions")
SUBTYPES = {
    "EventBridge-PutEvents": Subtype(
        *("events", "AWSEvents", ("Detail", "DetailType", "Source")),
        ("Time", "EventBusName", "Resources", "TraceHeader"),
    ),
    "SQS-SendMessage": Subtype(
        *(*_QUEUE, ("QueueUrl", "MessageBody")),
        (
            *("DelaySeconds", "MessageAttributes", "MessageDeduplicationId", "MessageGroupId"),
            "MessageSystemAttributes",
        ),
    ),
    "SQS-ReceiveMessage": Subtype(
        *(*_QUEUE, ("QueueUrl",)),
        (
            *("AttributeNames", "MaxNumberOfMessages", "MessageAttributeNames", "ReceiveRequestAttemptId"),
            *("VisibilityTimeout", "WaitTimeSeconds"),
        ),
    ),
    "SQS-DeleteMessage": Subtype(*_QUEUE, ("ReceiptHandle", "QueueUrl")),
    "SQS-PurgeQueue": Subtype(*_QUEUE, ("QueueUrl",)),
    "Kinesis-PutRecord": Subtype(
        *("kinesis", "Kinesis_20131202", ("StreamName", "Data", "PartitionKey")),
        ("SequenceNumberForOrdering", "ExplicitHashKey"),
    ),
    "StepFunctions-StartExecution": Subtype(*_STATES, ("StateMachineArn",), ("Name", "Input")),
    "StepFunctions-StartSyncExecution": Subtype(
        *_STATES, ("StateMachineArn",), ("Name", "Input", "TraceHeader")
    ),
    "StepFunctions-StopExecution": Subtype(*_STATES, ("ExecutionArn",), ("Cause", "Error")),
}
_NUMBERS = ("DelaySeconds", "MaxNumberOfMessages", "VisibilityTimeout", "WaitTimeSeconds")
_STRUCTURES = (
    *("Resources", "MessageAttributes", "MessageSystemAttributes", "AttributeNames"),
    "MessageAttributeNames",
)


def problem(integration: Mapping[str, Any]) -> str | None:
    """What API Gateway refuses of an integration with a service."""
    name, given = str(integration["integrationSubtype"]), integration.get("requestParameters") or {}
    found = SUBTYPES.get(name)
    if found is None:
        return f"Unsupported integration subtype {name}: supported are {', '.join(SUBTYPES)}"
    if missing := [one for one in found.required if one not in given]:
        return f"Integration subtype {name} requires the parameters {', '.join(missing)}"
    allowed = {*found.required, *found.optional, "Region"}
    if unknown := [one for one in given if one not in allowed]:
        return f"Integration subtype {name} has no parameters {', '.join(unknown)}"
    if not integration.get("credentialsArn"):
        return f"Integration subtype {name} requires credentials: the role that API Gateway assumes"
    return None


@around(apigateway, "_invoke_lambda_proxy", after=["apigateway.state_machines"])
async def _invoke(
    stock: Callable[..., Awaitable[Response]], integration: dict[str, Any], *args: Any, **more: Any
) -> Response:
    name = str(integration.get("integrationSubtype") or "")
    subtype = SUBTYPES.get(name)
    if subtype is None or subtype.service == "states":
        return await stock(integration, *args, **more)
    exchange, action = exchanges.served(), name.partition("-")[2]
    sources = parameter_mappings.sources(exchange)
    given = {
        key: value
        for key, source in (integration.get("requestParameters") or {}).items()
        if (value := apigateway._resolve_mapping_value(source, **sources)) is not None
    }
    with request_scope(get_account_id(), given.pop("Region", None) or get_region()):
        status, body = await _call(subtype, action, given, str(integration.get("credentialsArn") or ""))
    exchange.integration.service_status = status
    return parameter_mappings.response(exchange, integration, (status, dict(_JSON), body))


async def _call(subtype: Subtype, action: str, given: dict[str, str], role: str) -> tuple[int, bytes]:
    """Status and body of the service's answer."""
    target = _resource(subtype.service, given)
    if why := denied(role, f"{subtype.service}:{action}", target):
        code, status = ("AccessDenied", 403) if subtype.service == "sqs" else ("AccessDeniedException", 400)
        refused = error_response_json(code, why, status)
        return int(refused[0]), bytes(refused[2])
    try:
        data = {name: _typed(name, value) for name, value in given.items()}
    except ValueError as error:
        refused = error_response_json("SerializationException", str(error), 400)
        return int(refused[0]), bytes(refused[2])
    body = json.dumps({"Entries": [data]} if action == "PutEvents" else data).encode()
    headers = {
        "x-amz-target": f"{subtype.protocol}.{action}",
        "content-type": "application/x-amz-json-1.1",
    }
    answer = await app.SERVICE_HANDLERS[subtype.service]("POST", "/", headers, body, {})
    text = answer[2]
    return int(answer[0]), text.encode() if isinstance(text, str) else bytes(text)


def _typed(name: str, value: str) -> Any:
    if name in _NUMBERS:
        return int(value)
    return strict_json.read(value) if name in _STRUCTURES else value


def _resource(service: str, given: Mapping[str, str]) -> str:
    """The ARN of the bus, queue or stream."""
    start = f"arn:aws:{service}:{get_region()}:{get_account_id()}"
    if service == "events":
        bus = given.get("EventBusName") or "default"
        return bus if bus.startswith("arn:") else f"{start}:event-bus/{bus}"
    if service == "kinesis":
        return f"{start}:stream/{given.get('StreamName', '')}"
    account, _, queue = given.get("QueueUrl", "").rpartition("/")
    return f"arn:aws:sqs:{get_region()}:{account.rpartition('/')[2] or get_account_id()}:{queue}"


def denied(role: str | None, action: str, target: str) -> str | None:
    """Why the role of an integration may not perform an action for API Gateway, if so."""
    trusted = role and role_trusts(role, "apigateway.amazonaws.com")
    if role and trusted and role_allows(role, action, target):
        return None
    assumed = str(role).replace(":iam:", ":sts:").replace(":role/", ":assumed-role/")
    return (
        f"User: {assumed}/BackplaneAssumeRoleSession is not authorized to perform: {action} on "
        f"resource: {target} because no identity-based policy allows the {action} action"
    )
