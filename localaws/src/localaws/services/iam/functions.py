"""The execution roles of functions: PassRole, trust, and the permissions of event source mappings.

Faithful to: creating a function, or changing its role, needs `iam:PassRole` on the role with
`lambda.amazonaws.com`. Lambda refuses a role that does not trust it, through its API and in CloudFormation.
An event source mapping is created only if the function's role allows what the poller does at the source, and
it stops polling when the role no longer does. For a broker that includes the secret of the mapping, and,
unless the broker is public, the network interfaces in its subnets.
Not to: roles that are passed to other services through their own APIs. A role that stops trusting Lambda
later keeps working.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
https://docs.aws.amazon.com/lambda/latest/dg/process-messages-with-lambda.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/iam-policy-example-lamda-process-dynamodb-streams.html
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import error_response_json, get_region, new_uuid, request_scope
from ministack.core.router import extract_access_key_id
from ministack.services import lambda_svc, mq

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.iam.roles import iam_is_enforced, role_allows, role_trusts

logger = logging.getLogger("localaws.iam")

_NOT_ASSUMABLE = "The role defined for the function cannot be assumed by Lambda."

# What a poller calls at its source. For streams: what Lambda lists when it refuses the mapping.
_READING = {
    "sqs": ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"),
    "kinesis": ("GetRecords", "GetShardIterator", "DescribeStream", "ListShards", "DescribeStreamSummary"),
    "dynamodb": ("GetRecords", "GetShardIterator", "DescribeStream", "ListStreams"),
    "mq": ("DescribeBroker",),
}
# What Lambda calls to reach a private broker: its pollers get network interfaces in the broker's subnets.
_REACHING = (
    *("CreateNetworkInterface", "DeleteNetworkInterface", "DescribeNetworkInterfaces"),
    *("DescribeSecurityGroups", "DescribeSubnets", "DescribeVpcs"),
)
_NAMES = {"sqs": "SQS", "mq": "MQ", "ec2": "EC2", "secretsmanager": "Secrets Manager"}


# --- Passing a role


@around(lambda_svc, "handle_request", after=["lambda_.names_in_paths"])
async def _handle_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Any:
    role = _function_role(method, path, body)
    refused = pass_role_refused("lambda", role, headers, query_params)
    return refused or await stock(method, path, headers, body, query_params)


def _function_role(method: str, path: str, body: bytes) -> str | None:
    creates = method == "POST" and re.fullmatch(r"/2015-03-31/functions/?", path)
    updates = (
        method == "PUT" and path.startswith("/2015-03-31/functions/") and path.endswith("/configuration")
    )
    return json_member(body, "Role") if creates or updates else None


def json_member(body: bytes, name: str) -> str | None:
    """A string member of a JSON request body; None if it is absent or the body is no JSON."""
    try:
        value = json.loads(body).get(name)
    except (ValueError, AttributeError):
        return None
    return value if isinstance(value, str) else None


def pass_role_refused(service: str, role: str | None, headers: dict[str, str], query: Any) -> Any:
    """The response that refuses a request because its caller may not pass a role; None if the caller may.

    Args:
        service: The service that the request is for, such as `lambda`.
        role: The ARN of the role in the request, if there is one.
        headers: The headers of the request.
        query: The query of the request.
    """
    if not role or not iam_is_enforced():
        return None
    denied = iam_evaluator.enforce(
        extract_access_key_id(headers, query),
        "iam:PassRole",
        "iam",
        get_region(),
        resource_arn=role,
        service_context={"iam:PassedToService": f"{service}.amazonaws.com"},
    )
    return _denied(service, role, denied, headers) if isinstance(denied, iam_evaluator.EvalResult) else None


def _denied(service: str, role: str, denied: iam_evaluator.EvalResult, headers: dict[str, str]) -> Any:
    why = (
        "with an explicit deny in an identity-based policy"
        if denied.decision == "Deny"
        else "because no identity-based policy allows the iam:PassRole action"
    )
    message = (
        f"User: {denied.principal_arn} is not authorized to perform: iam:PassRole on resource: {role} {why}"
    )
    return iam_actions.access_denied_response(
        service, "iam:PassRole", denied.principal_arn, new_uuid(), headers=headers, message=message
    )


# --- Trust


@around(lambda_svc, "_create_function")
def _create_function(stock: Callable[[Properties], Any], data: Properties) -> Any:
    return _untrusted(data) or stock(data)


@around(lambda_svc, "_update_config")
def _update_config(stock: Callable[[str, Properties], Any], name: str, data: Properties) -> Any:
    return _untrusted(data) or stock(name, data)


def _untrusted(request: Properties) -> Any:
    """The response to a request with a role that Lambda cannot assume; None otherwise."""
    role = request.get("Role")
    if role and not role_trusts(role, "lambda.amazonaws.com"):
        return error_response_json("InvalidParameterValueException", _NOT_ASSUMABLE, 400)
    return None


_FUNCTION = resource("AWS::Lambda::Function", after=["lambda_.properties"])


@_FUNCTION.create
def _create_in_template(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    _require_trust(properties)
    return stock(logical_id, properties, stack)


@_FUNCTION.update
def _update_in_template(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    _require_trust(new)
    return stock(physical_id, old, new, stack, logical_id)


def _require_trust(properties: Properties) -> None:
    role = properties.get("Role", "")
    if not role_trusts(role, "lambda.amazonaws.com"):
        raise ValueError(f"{_NOT_ASSUMABLE} (Service: Lambda, Status Code: 400, role: {role})")


# --- Event source mappings


def missing_permission(function: str, mapping: Mapping[str, Any]) -> str | None:
    """The first action at the source that the function's role does not allow; None if it allows all of them.

    Args:
        function: The function's name or ARN, with or without a qualifier.
        mapping: The mapping, or the request for one: the queue, stream or broker, and its secret.
    """
    source = str(mapping.get("EventSourceArn", ""))
    service = source.split(":")[2] if source.startswith("arn:") else ""
    _record, config, _name = lambda_svc._get_func_record_for_ref(function)
    if config is None:
        return None
    # A registered consumer of a stream subscribes, and the stream pushes.
    actions = ("SubscribeToShard",) if "/consumer/" in source else _READING.get(service, ())
    for action in actions:
        # ListStreams is about all streams of the table, also in the policy that AWS documents.
        resource = f"{source.rpartition('/')[0]}/*" if action == "ListStreams" else source
        if not role_allows(config["Role"], f"{service}:{action}", resource):
            return f"{service}:{action}"
    for action, resource in _around_broker(mapping) if service == "mq" else ():
        if not role_allows(config["Role"], action, resource):
            return action
    return None


def _around_broker(mapping: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What a poller does before it can read a broker: it gets the credentials, and into the network."""
    for one in mapping.get("SourceAccessConfigurations") or ():
        if one.get("Type") == "BASIC_AUTH":
            yield "secretsmanager:GetSecretValue", one.get("URI", "")
    broker = mq._brokers.get(str(mapping.get("EventSourceArn", "")).rpartition(":")[2]) or {}
    if not broker.get("publiclyAccessible"):
        yield from ((f"ec2:{action}", "*") for action in _REACHING)


def _refusal(missing: str, source: str) -> str:
    service, action = missing.split(":")
    if service == "sqs" or ":mq:" in source:
        name = _NAMES[service]
        return f"The provided execution role does not have permissions to call {action} on {name}"
    actions = ", ".join(_READING[service])
    return f"Cannot access stream {source}. Please ensure the role can perform {actions} on it; no {missing}"


@around(lambda_svc, "_create_esm")
def _create_esm(stock: Callable[[Properties], Any], data: Properties) -> Any:
    source = data.get("EventSourceArn", "")
    missing = missing_permission(data.get("FunctionName", ""), data)
    if missing:
        return error_response_json("InvalidParameterValueException", _refusal(missing, source), 400)
    return stock(data)


@resource("AWS::Lambda::EventSourceMapping").create
def _create_mapping(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    source = properties.get("EventSourceArn", "")
    missing = missing_permission(properties.get("FunctionName", ""), properties)
    if missing:
        raise ValueError(f"AWS::Lambda::EventSourceMapping: {_refusal(missing, source)}")
    return stock(logical_id, properties, stack)


@around(lambda_svc, "_iter_all_esms")
def _iter_all_esms(stock: Callable[[], Iterator[Any]]) -> Iterator[Any]:
    """The mappings to poll, without those whose role has lost a permission."""
    for account, region, mapping in stock():
        with request_scope(account, region):
            missing = missing_permission(mapping["FunctionArn"], mapping)
        if missing:
            mapping["LastProcessingResult"] = f"PROBLEM: Function call failed: {missing} is not allowed"
        else:
            yield account, region, mapping
