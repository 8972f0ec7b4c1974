"""Deploying a template needs the permission to pass the roles in it.

Faithful to: a stack operation with a service role needs `iam:PassRole` on that role with
`cloudformation.amazonaws.com`. The service role, which stays with the stack, or without one the caller of the
operation, needs `iam:PassRole` on each role that a resource passes to Lambda, CodeDeploy, Step Functions,
EventBridge, Scheduler, Pipes or RDS, with `iam:PassedToService` naming that service.
Not to: the other actions of a deployment (`lambda:CreateFunction` and so on), which are not authorised;
nested stacks; roles in resources of other types; whether the service role trusts CloudFormation.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/using-iam-servicerole.html
https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.core.router import extract_access_key_id
from ministack.services import cloudformation

from localaws.patching import Created, Handler, Properties, around, on_reset, resource
from localaws.services.iam.functions import json_member, pass_role_refused
from localaws.services.iam.roles import iam_is_enforced, role_allows

# Where a resource names the role that it passes, and the service that it passes the role to.
_PASSED = {
    "AWS::CodeDeploy::DeploymentGroup": (("ServiceRoleArn",), "codedeploy.amazonaws.com"),
    "AWS::Events::Rule": (("Targets", "RoleArn"), "events.amazonaws.com"),
    "AWS::Lambda::Function": (("Role",), "lambda.amazonaws.com"),
    "AWS::Pipes::Pipe": (("RoleArn",), "pipes.amazonaws.com"),
    "AWS::RDS::DBCluster": (("AssociatedRoles", "RoleArn"), "rds.amazonaws.com"),
    "AWS::RDS::DBInstance": (("AssociatedRoles", "RoleArn"), "rds.amazonaws.com"),
    "AWS::Scheduler::Schedule": (("Target", "RoleArn"), "scheduler.amazonaws.com"),
    "AWS::StepFunctions::StateMachine": (("RoleArn",), "states.amazonaws.com"),
}
# Other bridges around the same handlers.
_ENCLOSED = (
    *("events.targets", "iam.functions", "lambda_.properties", "scheduler.schedules"),
    *("rds.instances", "rds.managed_secrets", "rds.refusals"),
)
_OPERATIONS = ("CreateStack", "UpdateStack", "CreateChangeSet", "ExecuteChangeSet", "RollbackStack")


@dataclass(frozen=True)
class Deployer:
    """The principal that deploys a stack: a service role, or the owner of an access key."""

    role: str | None
    access_key: str

    def denied(self, action: str, resource_arn: str, context: dict[str, str] | None = None) -> str | None:
        """The principal that may not perform an action; None if it may."""
        if self.role:
            return None if role_allows(self.role, action, resource_arn, context) else self.role
        denied = iam_evaluator.enforce(
            self.access_key,
            action,
            action.partition(":")[0],
            get_region(),
            resource_arn=resource_arn,
            service_context=context,
        )
        return denied.principal_arn if isinstance(denied, iam_evaluator.EvalResult) else None


_deployers: dict[tuple[str, str, str], Deployer] = {}
on_reset(_deployers.clear)


@around(cloudformation, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Any:
    role = _parameter("RoleARN", body, query_params)
    refused = pass_role_refused("cloudformation", role, headers, query_params)
    if refused:
        return refused
    _remember_deployer(headers, body, query_params)
    return await stock(method, path, headers, body, query_params)


def _parameter(name: str, body: bytes, query: dict[str, Any]) -> str | None:
    # Some SDKs send a form, newer ones send JSON.
    values = {**query, **parse_qs(body.decode("utf-8", "replace"))}.get(name)
    return (values[0] if isinstance(values, list) else values) or json_member(body, name)


def _remember_deployer(headers: dict[str, str], body: bytes, query: Any) -> None:
    target = headers.get("x-amz-target", "").rpartition(".")[2]
    action = target or _parameter("Action", body, query)
    name = _parameter("StackName", body, query)
    if name and action in _OPERATIONS:
        name = name.split("/")[1] if name.startswith("arn:") else name
        stack = (get_account_id(), get_region(), name)
        known = _deployers.get(stack)
        role = _parameter("RoleARN", body, query) or (known.role if known else None)
        _deployers[stack] = Deployer(role, extract_access_key_id(headers, query))


def _declare(type_: str, path: tuple[str, ...], service: str) -> None:
    """Authorise the deployment of each resource of a type."""
    handlers = resource(type_, after=_ENCLOSED)

    @handlers.create
    def create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
        _require_pass_role(properties, path, service, stack)
        return stock(logical_id, properties, stack)

    @handlers.update
    def update(
        stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
    ) -> Created:
        _require_pass_role(new, path, service, stack)
        return stock(physical_id, old, new, stack, logical_id)


def deployer_of(stack: str) -> Deployer | None:
    """The principal that deploys a stack of this account and Region; None if it is not known."""
    return _deployers.get((get_account_id(), get_region(), stack))


def _require_pass_role(properties: Properties, path: tuple[str, ...], service: str, stack: str) -> None:
    deployer = deployer_of(stack)
    if deployer is None or not iam_is_enforced():
        return
    for role in _roles(properties, path):
        who = deployer.denied("iam:PassRole", role, {"iam:PassedToService": service})
        if who:
            raise ValueError(f"User: {who} is not authorized to perform: iam:PassRole on resource: {role}")


def _roles(value: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The roles at a path, read past the recorder: to authorise a property is not to use it."""
    if isinstance(value, list):
        for item in value:
            yield from _roles(item, path)
    elif not path:
        if isinstance(value, str):
            yield value
    elif isinstance(value, dict):
        yield from _roles(dict.get(value, path[0]), path[1:])


for _type, (_path, _service) in _PASSED.items():
    _declare(_type, _path, _service)
