"""CloudFormation lets CodeDeploy change an alias, where its update policy says so, and waits for it.

Faithful to: `UpdatePolicy` `CodeDeployLambdaAliasUpdate` of `AWS::Lambda::Alias`, with its functions
resolved. When the version changes, a deployment is made, and its rollback waited for too; if it does not
succeed, the alias's update fails with CodeDeploy's reason and the stack rolls back. What the policy refers
to comes before the alias. Cancelling the stack's update stops the deployment and rolls it back.
Not to: aliases in nested stacks, whose update policy does nothing here. AWS does not document how a stack's
rollback brings back an alias that has already got its new version: here it is one more deployment, under
the policy of the template before, which is what reports of slow rollbacks suggest.

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

from localaws.services.codedeploy.calls import create_deployment, describe_target
from localaws.services.codedeploy.deployments import Deployment, deployments
from localaws.services.codedeploy.records import CodeDeployError
from localaws.services.codedeploy.revisions import AFTER, BEFORE, AppSpec

Properties = dict[str, Any]

_ALIAS = "AWS::Lambda::Alias"
_POLICY = "CodeDeployLambdaAliasUpdate"
_INTERVAL_SECONDS = 0.05

#: The template and the parameters of the stack operation at hand, with the stack's name.
_operation: ContextVar[tuple[str, Properties, Properties] | None] = ContextVar(
    "localaws_stack_operation", default=None
)


def install() -> None:
    """Stand between CloudFormation and the alias."""
    deploy = _remembering_the_template(stacks._deploy_stack_async)
    for module in (stacks, handlers, changesets):
        module._deploy_stack_async = deploy
    for module in (engine, stacks):
        module._extract_deps = _with_policy(module._extract_deps)
    # Waiting for a deployment must not hold up the rest of the emulator.
    stacks._runs_on_worker_thread = _also_aliases(stacks._runs_on_worker_thread)
    # A deployment that failed may have left its weights.
    stacks._sends_back_failed_update = _also_aliases(stacks._sends_back_failed_update)
    handler = provisioners._RESOURCE_HANDLERS[_ALIAS]
    handler["update"] = _deploying(handler["update"])


def _remembering_the_template(deploy: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    async def remember_and_deploy(
        name: str, stack_id: str, template: Properties, parameters: Properties, *args: Any, **named: Any
    ) -> None:
        _operation.set((name, template, parameters))
        await deploy(name, stack_id, template, parameters, *args, **named)

    return remember_and_deploy


def _with_policy(stock: Callable[..., set[str]]) -> Callable[..., set[str]]:
    def dependencies(resource: Properties, names: set[str]) -> set[str]:
        policy = resource.get("UpdatePolicy") or {}
        referred = {name for name, _ in engine._intrinsic_references(policy)}
        return stock(resource, names) | (referred & names)

    return dependencies


def _also_aliases(stock: Callable[[str], bool]) -> Callable[[str], bool]:
    return lambda type_: type_ == _ALIAS or stock(type_)


def _deploying(stock: Callable[..., Any]) -> Callable[..., Any]:
    def update(physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str) -> Any:
        same = all(old.get(name) == new.get(name) for name in ("FunctionName", "Name"))
        policy = _policy(stack, logical_id) if same else None
        if policy and old.get("FunctionVersion") != new.get("FunctionVersion"):
            _bring_to(new["FunctionVersion"], old, policy, stack)
        return stock(physical_id, old, new, stack, logical_id)

    return update


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
    resource = template.get("Resources", {}).get(logical_id) or {}
    found = engine._resolve_refs(
        copy.deepcopy(resource.get("UpdatePolicy") or {}),
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
        # On the way back from a deployment that did not get through. The weights may be those that it left,
        # or those of the deployment that it found there.
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
        # "user": only blue/green deployments of ECS are CloudFormation's to CodeDeploy.
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
    """Wait until the deployment, and the one that rolls it back, have ended.

    Raises:
        ValueError: It did not succeed.
    """
    cancelled = False
    while not deployment.ended.wait(_INTERVAL_SECONDS):
        # Taken away: it is not meant for the deployments of the rollback that follows.
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
