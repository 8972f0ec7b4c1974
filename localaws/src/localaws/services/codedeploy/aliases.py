"""The update policy of an alias: CloudFormation starts a CodeDeploy deployment and waits for it.

Faithful to: `UpdatePolicy` `CodeDeployLambdaAliasUpdate` of `AWS::Lambda::Alias`, with its intrinsic
functions. When the version changes, CloudFormation creates a deployment and waits for it and for its
rollback. If the deployment does not succeed, the update of the alias fails with the reason from CodeDeploy,
and the stack rolls back. What the policy refers to is created before the alias. Cancelling the update of the
stack stops the deployment and rolls it back.
Not to: aliases in nested stacks, whose update policy has no effect here. AWS does not document how the
rollback of a stack returns an alias that already has its new version: here by another deployment, under the
policy of the previous template, which reports of slow rollbacks suggest.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-attribute-updatepolicy.html
https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/automating-updates-to-serverless-apps.html
https://github.com/aws/aws-cdk/issues/2231 (the order of resources)
https://github.com/aws/serverless-application-model/issues/291 (a rollback of half an hour)
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import new_uuid
from ministack.services import cloudformation, lambda_svc
from ministack.services.cloudformation import changesets, engine, handlers, provisioners, stacks

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.codedeploy.calls import create_deployment, describe_target
from localaws.services.codedeploy.deployments import Deployment, deployments
from localaws.services.codedeploy.records import CodeDeployError
from localaws.services.codedeploy.revisions import AFTER, BEFORE, AppSpec

_ALIAS = "AWS::Lambda::Alias"
_POLICY = "CodeDeployLambdaAliasUpdate"
_INTERVAL_SECONDS = 0.05

#: The name of the stack in operation, its template and its parameters.
_operation: ContextVar[tuple[str, Properties, Properties] | None] = ContextVar(
    "localaws_stack_operation", default=None
)


@around((stacks, handlers, changesets), "_deploy_stack_async")  # all have imported the name
async def _deploy_stack(
    stock: Callable[..., Awaitable[None]],
    stack_name: str,
    stack_id: str,
    template: Properties,
    param_values: Properties,
    *args: Any,
    **more: Any,
) -> None:
    _operation.set((stack_name, template, param_values))
    await stock(stack_name, stack_id, template, param_values, *args, **more)


@around((engine, stacks), "_extract_deps")
def _extract_deps(
    stock: Callable[..., set[str]], resource_def: Properties, all_resource_names: set[str]
) -> set[str]:
    """The dependencies of a resource, also those of its update policy."""
    policy = resource_def.get("UpdatePolicy") or {}
    referred = {name for name, _ in engine._intrinsic_references(policy)}
    return stock(resource_def, all_resource_names) | (referred & set(all_resource_names))


@around(stacks, "_runs_on_worker_thread")
def _runs_on_worker_thread(stock: Callable[[str], bool], resource_type: str) -> bool:
    """Wait for deployments without blocking the rest of the emulator."""
    return resource_type == _ALIAS or stock(resource_type)


@around(stacks, "_sends_back_failed_update")
def _sends_back_failed_update(stock: Callable[[str], bool], resource_type: str) -> bool:
    """Roll back aliases, too: a failed deployment may have left its weights."""
    return resource_type == _ALIAS or stock(resource_type)


@resource(_ALIAS, after=["lambda_.aliases"]).update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    same = all(old.get(name) == new.get(name) for name in ("FunctionName", "Name"))
    policy = _policy(stack, logical_id) if same else None
    if policy and old.get("FunctionVersion") != new.get("FunctionVersion"):
        _bring_to(new["FunctionVersion"], old, policy, stack)
    return stock(physical_id, old, new, stack, logical_id)


def _policy(name: str, logical_id: str) -> Properties | None:
    """The alias's update policy, with its functions resolved."""
    stack = cloudformation._stacks.get(name)
    operation = _operation.get()
    if stack is None:
        return None
    if "ROLLBACK" in stack["StackStatus"]:
        template, parameters = stack["_template"], stack["_resolved_params"]
    elif operation and operation[0] == name:
        _, template, parameters = operation
    else:
        return None
    alias = template.get("Resources", {}).get(logical_id) or {}
    found = engine._resolve_refs(
        copy.deepcopy(alias.get("UpdatePolicy") or {}),
        stack["_resources"],
        parameters,
        engine._evaluate_conditions(template, parameters),
        template.get("Mappings", {}),
        name,
        stack["StackId"],
    )
    policy = found.get(_POLICY) if isinstance(found, dict) else None
    return policy if isinstance(policy, dict) else None


def _bring_to(version: str, old: Properties, policy: Properties, stack: str) -> None:
    function, name, _, _ = provisioners._lambda_function_for_cfn_ref(old["FunctionName"])
    alias = (function or {}).get("aliases", {}).get(old["Name"]) or {}
    if alias.get("FunctionVersion") == version:
        # Rolling back after a deployment that failed. The weights may be those that it left, or those of
        # another deployment that is in progress.
        if not _is_being_deployed(alias["AliasArn"]):
            lambda_svc._update_alias(name, old["Name"], {"RoutingConfig": {}})
        return
    hooks = {
        event: policy[f"{event}Hook"] for event in (BEFORE, AFTER) if _is_text(policy.get(f"{event}Hook"))
    }
    spec = AppSpec(name, name, old["Name"], old["FunctionVersion"], version, hooks)
    request = {
        "applicationName": policy.get("ApplicationName"),
        "deploymentGroupName": policy.get("DeploymentGroupName"),
        "revision": spec.revision(),
    }
    try:
        # Only blue/green deployments of ECS have CloudFormation as their creator; this one has "user".
        deployment = deployments[create_deployment(request)["deploymentId"]]
    except CodeDeployError as refusal:
        raise _failure(str(refusal), "GeneralServiceException") from refusal
    _wait(deployment, stack)


def _is_being_deployed(alias_arn: str) -> bool:
    here = [each for each in list(deployments.values()) if each.is_active]
    return any(describe_target(each)["targetArn"] == alias_arn for each in here)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _wait(deployment: Deployment, stack: str) -> None:
    """Wait until the deployment and its rollback have ended.

    Raises:
        ValueError: It did not succeed.
    """
    cancelled = False
    while not deployment.ended.wait(_INTERVAL_SECONDS):
        # Removed, so that it does not stop the deployments of the rollback that follows.
        if (cloudformation._stacks.get(stack) or {}).pop("_cancel_requested", False):
            cancelled = True
            deployment.stop(roll_back=True)
    if deployment.status != "Succeeded":
        if cancelled:
            raise ValueError("Resource update cancelled")
        raise _failure(f"{deployment.id} failed. {deployment.error.get('message', '')}", "InternalFailure")


def _failure(message: str, code: str) -> ValueError:
    return ValueError(
        f'Resource handler returned message: "{message}" '
        f"(RequestToken: {new_uuid()}, HandlerErrorCode: {code})"
    )
