"""IAM: answers that the emulator gets wrong at its gateway.

Faithful to: a role's PermissionsBoundary in CloudFormation limits the role, changes and goes with the
template. A topic made by CloudFormation has the default policy of SNS, with its condition: without a
permission of its own, a role of the account may not publish. A request for several SSM parameters needs the
permission on each, and is allowed when each is. Log groups are `log-group:NAME:log-stream:` to a policy (or
a stream's name after it), except to tagging: `NAME:*` allows them and `NAME` alone does not. A request to a
version or an alias of a function is about that, also when it names it beside the function: `NAME:*` allows it
and `NAME` alone does not. Reading, changing and deleting an alias are actions of their own.
Not to: everything else. `docs/embedded-aws.md` lists what IAM here cannot refuse.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
https://docs.aws.amazon.com/lambda/latest/dg/lambda-api-permissions-ref.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_account_id
from ministack.core.router import extract_access_key_id
from ministack.services import iam, sns
from ministack.services.cloudformation import provisioners


def install() -> None:
    """Correct the handlers of roles and topics, and what a request is checked for."""
    role = provisioners._RESOURCE_HANDLERS["AWS::IAM::Role"]
    role["create"] = _limited(role["create"], properties_at=1)
    role["update"] = _limited(role["update"], properties_at=2)
    topic = provisioners._RESOURCE_HANDLERS["AWS::SNS::Topic"]
    topic["create"] = _owned(topic["create"])
    iam_actions.extract_resource_arn = _naming_resources(iam_actions.extract_resource_arn)
    iam_actions.logs_service_context = _of_group(iam_actions.logs_service_context)
    iam_actions._lambda_action = _of_aliases(iam_actions._lambda_action)


# --- Roles


def _limited(provision: Callable[..., tuple[str, Any]], properties_at: int) -> Callable[..., tuple[str, Any]]:
    """The handler of a role, which also sets or removes its boundary."""

    def provision_with_boundary(*args: Any) -> tuple[str, Any]:
        name, attributes = provision(*args)
        boundary = args[properties_at].get("PermissionsBoundary")
        if boundary:
            iam._roles[name]["PermissionsBoundary"] = boundary
        else:
            iam._roles[name].pop("PermissionsBoundary", None)
        return name, attributes

    return provision_with_boundary


# --- Topics


def _owned(create: Callable[..., tuple[str, Any]]) -> Callable[..., tuple[str, Any]]:
    """The handler of a topic, whose default policy names the owner as SNS writes it."""

    def create_with_owner(*args: Any) -> tuple[str, Any]:
        arn, attributes = create(*args)
        topic = sns._topics[arn]["attributes"]
        policy = json.loads(topic["Policy"])
        for statement in policy["Statement"]:
            if statement.get("Sid") == "__default_statement_ID":
                statement["Condition"] = {"StringEquals": {"AWS:SourceOwner": get_account_id()}}
        topic["Policy"] = json.dumps(policy)
        return arn, attributes

    return create_with_owner


# --- What a request is about


def _naming_resources(extract: Callable[..., str]) -> Callable[..., str]:
    """The resource that a request's permission is looked for on."""

    def extract_resource(
        service: str,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes,
        query: dict[str, Any],
        region: str,
        account: str,
    ) -> str:
        found = extract(service, method, path, headers, body, query, region, account)
        operation = headers.get("x-amz-target", "").rpartition(".")[2]
        if service == "logs" and operation not in ("TagResource", "UntagResource", "ListTagsForResource"):
            stream = _member(body, "logStreamName") or ""
            return f"{found}:log-stream:{stream}" if ":log-group:" in found else found
        if service == "ssm" and operation in ("GetParameters", "DeleteParameters"):
            names = _member(body, "Names") or []
            arns = [_parameter_arn(name, region, account) for name in names]
            key = extract_access_key_id(headers, query)
            # One of several: the first that is refused, so that the request is.
            refused = (
                arn for arn in arns if iam_evaluator.enforce(key, f"ssm:{operation}", "ssm", region, arn)
            )
            return next(refused, arns[0]) if arns else found
        qualifier = iam_actions._query_param(query, "Qualifier") if service == "lambda" else ""
        if qualifier and ":function:" in found and not found.endswith(f":{qualifier}"):
            return f"{found}:{qualifier}"
        return found

    return extract_resource


_ON_ONE_ALIAS = {"GET": "GetAlias", "PUT": "UpdateAlias", "DELETE": "DeleteAlias"}


def _of_aliases(action: Callable[[str, str], str | None]) -> Callable[[str, str], str | None]:
    """The action of a request to Lambda: one alias is not the list of them."""

    def action_of(method: str, path: str) -> str | None:
        *_, collection, name = ["", "", *filter(None, path.split("/"))]
        if collection == "aliases" and name:
            return _ON_ONE_ALIAS.get(method)
        return action(method, path)

    return action_of


def _member(body: bytes, name: str) -> Any:
    try:
        return json.loads(body).get(name)
    except ValueError:
        return None


def _parameter_arn(name: str, region: str, account: str) -> str:
    return name if name.startswith("arn:") else f"arn:aws:ssm:{region}:{account}:parameter/{name.lstrip('/')}"


def _of_group(context: Callable[..., Any]) -> Callable[..., Any]:
    """The conditions of a request to CloudWatch Logs: the group has the tags."""

    def context_of_group(action: str, body: bytes, resource: str, region: str, account: str) -> Any:
        return context(action, body, resource.partition(":log-stream:")[0], region, account)

    return context_of_group
