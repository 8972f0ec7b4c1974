"""The roles of functions: who may hand them over, whom they trust, and what pollers do in their name.

Faithful to: creating a function, or giving it another role, needs `iam:PassRole` on the role for
`lambda.amazonaws.com`. Lambda refuses a role that does not trust it, through its API and in CloudFormation.
An event source mapping is created, and reads, only if the function's role allows what the poller does at the
source.
Not to: roles passed to other services through their own API. A role that loses Lambda's trust later keeps
working.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import error_response_json, get_region, new_uuid, request_scope
from ministack.core.router import extract_access_key_id
from ministack.services import lambda_svc
from ministack.services.cloudformation import provisioners

from localaws.services.iam.roles import iam_is_enforced, role_allows, role_trusts

logger = logging.getLogger("localaws.iam")

_NOT_ASSUMABLE = "The role defined for the function cannot be assumed by Lambda."

# What a poller does at its source. For the streams: what Lambda names when it refuses the mapping.
_READING = {
    "sqs": ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes"),
    "kinesis": ("GetRecords", "GetShardIterator", "DescribeStream", "ListShards", "DescribeStreamSummary"),
    "dynamodb": ("GetRecords", "GetShardIterator", "DescribeStream", "ListStreams"),
}


def install() -> None:
    """Check roles where they are handed over and where they are used."""
    lambda_svc.handle_request = passing_role(lambda_svc.handle_request, "lambda", _function_role)
    lambda_svc._create_function = _trusted(lambda_svc._create_function, data_at=0)
    lambda_svc._update_config = _trusted(lambda_svc._update_config, data_at=1)
    function = provisioners._RESOURCE_HANDLERS["AWS::Lambda::Function"]
    function["create"] = _trusted_in_template(function["create"], properties_at=1)
    function["update"] = _trusted_in_template(function["update"], properties_at=2)
    lambda_svc._create_esm = _readable(lambda_svc._create_esm)
    mapping = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
    mapping["create"] = _readable_in_template(mapping["create"])
    lambda_svc._iter_all_esms = _allowed_mappings(lambda_svc._iter_all_esms)


# --- Handing a role over


def _function_role(method: str, path: str, body: bytes, _query: dict[str, Any]) -> str | None:
    creates = method == "POST" and re.fullmatch(r"/2015-03-31/functions/?", path)
    updates = (
        method == "PUT" and path.startswith("/2015-03-31/functions/") and path.endswith("/configuration")
    )
    return json_member(body, "Role") if creates or updates else None


def json_member(body: bytes, name: str) -> str | None:
    """A string in the JSON of a request, if it is JSON and the string is there."""
    try:
        value = json.loads(body).get(name)
    except (ValueError, AttributeError):
        return None
    return value if isinstance(value, str) else None


def passing_role(
    handle: Callable[..., Any], service: str, role_of: Callable[..., str | None]
) -> Callable[..., Any]:
    """Let a service's API handle a request only if its caller may pass the role in it to that service.

    Args:
        handle: The emulator's handler of the service's requests.
        service: The service, such as `lambda`.
        role_of: Finds the role in a request: method, path, body and query; None if there is none.
    """

    async def handle_if_passed(
        method: str, path: str, headers: dict[str, str], body: bytes, query: Any
    ) -> Any:
        role = role_of(method, path, body, query)
        if role and iam_is_enforced():
            denied = iam_evaluator.enforce(
                extract_access_key_id(headers, query),
                "iam:PassRole",
                "iam",
                get_region(),
                resource_arn=role,
                service_context={"iam:PassedToService": f"{service}.amazonaws.com"},
            )
            if isinstance(denied, iam_evaluator.EvalResult):
                return _denied(service, role, denied, headers)
        return await handle(method, path, headers, body, query)

    return handle_if_passed


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


def _trusted(handle: Callable[..., Any], data_at: int) -> Callable[..., Any]:
    """A call of Lambda's API that may name a role."""

    def handle_if_trusted(*args: Any) -> Any:
        role = args[data_at].get("Role")
        if role and not role_trusts(role, "lambda.amazonaws.com"):
            return error_response_json("InvalidParameterValueException", _NOT_ASSUMABLE, 400)
        return handle(*args)

    return handle_if_trusted


def _trusted_in_template(provision: Callable[..., Any], properties_at: int) -> Callable[..., Any]:
    def provision_if_trusted(*args: Any) -> Any:
        role = args[properties_at].get("Role", "")
        if not role_trusts(role, "lambda.amazonaws.com"):
            raise ValueError(f"{_NOT_ASSUMABLE} (Service: Lambda, Status Code: 400, role: {role})")
        return provision(*args)

    return provision_if_trusted


# --- Event source mappings


def missing_permission(function: str, source: str) -> str | None:
    """The first action at the source that the function's role does not allow; None if it allows all.

    Args:
        function: The function's name or ARN, with or without a qualifier.
        source: The ARN of the queue or stream.
    """
    service = source.split(":")[2] if source.startswith("arn:") else ""
    _record, config, _name = lambda_svc._get_func_record_for_ref(function)
    if config is None:
        return None
    # A registered consumer of a stream is pushed to, once it may subscribe.
    actions = ("SubscribeToShard",) if "/consumer/" in source else _READING.get(service, ())
    for action in actions:
        # ListStreams knows no resources.
        resource = "*" if action == "ListStreams" else source
        if not role_allows(config["Role"], f"{service}:{action}", resource):
            return f"{service}:{action}"
    return None


def _refusal(missing: str, source: str) -> str:
    service, action = missing.split(":")
    if service == "sqs":
        return f"The provided execution role does not have permissions to call {action} on SQS"
    actions = ", ".join(_READING[service])
    return f"Cannot access stream {source}. Please ensure the role can perform {actions} on it; no {missing}"


def _readable(create: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    def create_if_readable(data: dict[str, Any]) -> Any:
        source = data.get("EventSourceArn", "")
        missing = missing_permission(data.get("FunctionName", ""), source)
        if missing:
            return error_response_json("InvalidParameterValueException", _refusal(missing, source), 400)
        return create(data)

    return create_if_readable


def _readable_in_template(create: Callable[..., Any]) -> Callable[..., Any]:
    def create_if_readable(logical_id: str, properties: dict[str, Any], stack: str) -> Any:
        source = properties.get("EventSourceArn", "")
        missing = missing_permission(properties.get("FunctionName", ""), source)
        if missing:
            raise ValueError(f"AWS::Lambda::EventSourceMapping: {_refusal(missing, source)}")
        return create(logical_id, properties, stack)

    return create_if_readable


def _allowed_mappings(mappings: Callable[[], Iterator[Any]]) -> Callable[[], Iterator[Any]]:
    """The mappings that a poller goes through, without those whose role has lost a permission."""

    def allowed() -> Iterator[Any]:
        for account, region, mapping in mappings():
            with request_scope(account, region):
                missing = missing_permission(mapping["FunctionArn"], mapping.get("EventSourceArn", ""))
            if missing:
                mapping["LastProcessingResult"] = f"PROBLEM: Function call failed: {missing} is not allowed"
            else:
                yield account, region, mapping

    return allowed
