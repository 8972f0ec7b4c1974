"""IAM: answers that the emulator gets wrong at its gateway.

Faithful to: a role's PermissionsBoundary in CloudFormation limits the role, changes and goes with the
template. A topic made by CloudFormation has the default policy of SNS, with its condition: without a
permission of its own, a role of the account may not publish. A request for several SSM parameters needs the
permission on each, and is allowed when each is.
Not to: everything else. `docs/embedded-aws.md` lists what IAM here cannot refuse.

https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html
https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssystemsmanager.html
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
    iam_actions.extract_resource_arn = _naming_parameters(iam_actions.extract_resource_arn)


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


# --- SSM parameters


def _naming_parameters(extract: Callable[..., str]) -> Callable[..., str]:
    """The resource of a request: of a list of parameters the first that is refused, or else the first."""

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
        if service == "ssm":
            operation = headers.get("x-amz-target", "").rpartition(".")[2]
            arns = _parameters(operation, body, f"arn:aws:ssm:{region}:{account}:parameter")
            key = extract_access_key_id(headers, query)
            refused = (
                arn for arn in arns if iam_evaluator.enforce(key, f"ssm:{operation}", "ssm", region, arn)
            )
            if arns:
                return next(refused, arns[0])
        return extract(service, method, path, headers, body, query, region, account)

    return extract_resource


def _parameters(operation: str, body: bytes, prefix: str) -> list[str]:
    """The ARNs of the parameters that the request names in a list; none if it does not."""
    if operation not in ("GetParameters", "DeleteParameters"):
        return []
    try:
        names = json.loads(body).get("Names") or []
    except ValueError:
        return []
    return [name if name.startswith("arn:") else f"{prefix}/{name.lstrip('/')}" for name in names]
