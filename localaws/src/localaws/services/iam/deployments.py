"""Who deploys must be allowed to hand over the roles that a template hands to services.

Faithful to: a stack operation with a role of its own needs `iam:PassRole` on it for
`cloudformation.amazonaws.com`. That role, kept with the stack as CloudFormation keeps it, or else whoever
started the operation, needs `iam:PassRole` on each role that a resource gives to Lambda, CodeDeploy, Step
Functions, EventBridge, Scheduler or Pipes, with `iam:PassedToService` naming that service.
Not to: the other actions that a deployment takes (`lambda:CreateFunction`, ...) are not asked for. Nested
stacks. Roles of other types of resources. Whether the stack's own role trusts CloudFormation.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import cloudformation
from ministack.services.cloudformation import provisioners

from localaws.services import reset_hooks
from localaws.services.iam.functions import json_member, passing_role
from localaws.services.iam.roles import iam_is_enforced, role_allows

# Where a resource names the role that it hands over, and to whom.
_HANDED_OVER = {
    "AWS::CodeDeploy::DeploymentGroup": (("ServiceRoleArn",), "codedeploy.amazonaws.com"),
    "AWS::Events::Rule": (("Targets", "RoleArn"), "events.amazonaws.com"),
    "AWS::Lambda::Function": (("Role",), "lambda.amazonaws.com"),
    "AWS::Pipes::Pipe": (("RoleArn",), "pipes.amazonaws.com"),
    "AWS::Scheduler::Schedule": (("Target", "RoleArn"), "scheduler.amazonaws.com"),
    "AWS::StepFunctions::StateMachine": (("RoleArn",), "states.amazonaws.com"),
}
_OPERATIONS = ("CreateStack", "UpdateStack", "CreateChangeSet", "ExecuteChangeSet", "RollbackStack")


@dataclass(frozen=True)
class Deployer:
    """Who a stack is deployed by: a role, or the owner of an access key."""

    role: str | None
    access_key: str


_deployers: dict[tuple[str, str, str], Deployer] = {}


def install() -> None:
    """Ask at each stack operation and for each resource that names a role."""
    remembering = _remembering_who(cloudformation.handle_request)
    cloudformation.handle_request = passing_role(remembering, "cloudformation", _stack_role)
    for type_, (path, service) in _HANDED_OVER.items():
        handler = provisioners._RESOURCE_HANDLERS.get(type_)
        if handler is not None:
            handler["create"] = _passed(handler["create"], path, service, properties_at=1, stack_at=2)
            if "update" in handler:
                handler["update"] = _passed(handler["update"], path, service, properties_at=2, stack_at=3)
    reset_hooks.append(_deployers.clear)


def _stack_role(_method: str, _path: str, body: bytes, query: dict[str, Any]) -> str | None:
    return _parameter("RoleARN", body, query)


def _parameter(name: str, body: bytes, query: dict[str, Any]) -> str | None:
    # SDKs send a form, newer ones JSON.
    values = {**query, **parse_qs(body.decode("utf-8", "replace"))}.get(name)
    return (values[0] if isinstance(values, list) else values) or json_member(body, name)


def _remembering_who(handle: Callable[..., Any]) -> Callable[..., Any]:
    async def remember_and_handle(
        method: str, path: str, headers: dict[str, str], body: bytes, query: Any
    ) -> Any:
        target = headers.get("x-amz-target", "").rpartition(".")[2]
        action = target or _parameter("Action", body, query)
        name = _parameter("StackName", body, query)
        if name and action in _OPERATIONS:
            name = name.split("/")[1] if name.startswith("arn:") else name
            stack = (get_account_id(), get_region(), name)
            known = _deployers.get(stack)
            role = _parameter("RoleARN", body, query) or (known.role if known else None)
            _deployers[stack] = Deployer(role, extract_access_key_id(headers, query))
        return await handle(method, path, headers, body, query)

    return remember_and_handle


def _passed(
    provision: Callable[..., Any],
    path: tuple[str, ...],
    service: str,
    *,
    properties_at: int,
    stack_at: int,
) -> Callable[..., Any]:
    def provision_if_passed(*args: Any) -> Any:
        deployer = _deployers.get((get_account_id(), get_region(), args[stack_at]))
        if deployer is not None and iam_is_enforced():
            for role in _roles(args[properties_at], path):
                who = _not_allowed(deployer, role, service)
                if who:
                    raise ValueError(
                        f"User: {who} is not authorized to perform: iam:PassRole on resource: {role}"
                    )
        return provision(*args)

    return provision_if_passed


def _roles(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The roles at a path, looked at past the recorder: asking who passes them is not using them."""
    if isinstance(value, list):
        for item in value:
            yield from _roles(item, path)
    elif not path:
        if isinstance(value, str):
            yield value
    elif isinstance(value, dict):
        yield from _roles(dict.get(value, path[0]), path[1:])


def _not_allowed(deployer: Deployer, role: str, service: str) -> str | None:
    """Who may not pass the role to the service; None if it may be passed."""
    context = {"iam:PassedToService": service}
    if deployer.role:
        return None if role_allows(deployer.role, "iam:PassRole", role, context) else deployer.role
    denied = iam_evaluator.enforce(
        deployer.access_key,
        "iam:PassRole",
        "iam",
        get_region(),
        resource_arn=role,
        service_context=context,
    )
    return denied.principal_arn if isinstance(denied, iam_evaluator.EvalResult) else None
