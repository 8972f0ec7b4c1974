"""CloudFormation changes an alias through CodeDeploy, where the alias's update policy says so."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from localaws import LocalAws
from tests.local.bridges.lambda_functions import eventually
from tests.local.bridges.releases import ALL_EVENTS, ROLE_ALLOWS, hook_source, make_alarm, ring
from tests.local.bridges.stacks import (
    DeploymentFailedError,
    Resources,
    Stack,
    arn,
    deploy,
    function,
    ref,
    role,
    template,
)

pytestmark = pytest.mark.local

CANARY = "CodeDeployDefault.LambdaCanary10Percent30Minutes"
BROKEN = {"Type": "AWS::SQS::Queue", "Properties": {"QueueName": "no good name"}}


def stack_of(
    version: int,
    *,
    config: str = "CodeDeployDefault.LambdaAllAtOnce",
    alarm: str = "",
    events: list[str] | None = None,
    before: str = "",
    managed_policy: str = "",
    **properties: Any,  # noqa: ANN401
) -> Resources:
    """A function with as many versions, an alias at the last of them, and what releases it.

    Args:
        version: How many versions there are.
        config: The deployment configuration.
        alarm: An alarm's name.
        events: After which events a deployment is rolled back: after all.
        before: The source of a hook before the shift.
        managed_policy: The managed policy of the service role, in place of one of its own.
        properties: Of the alias.
    """
    service_role = role(*ROLE_ALLOWS, service="codedeploy.amazonaws.com")
    if managed_policy:
        service_role = role(service="codedeploy.amazonaws.com")
        service_role["Properties"]["ManagedPolicyArns"] = [managed_policy]
    events = ALL_EVENTS if events is None else events
    group = {
        "ApplicationName": ref("Application"),
        "ServiceRoleArn": arn("ServiceRole"),
        "DeploymentConfigName": config,
        "DeploymentStyle": {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"},
        "AutoRollbackConfiguration": {"Enabled": bool(events), "Events": events},
    }
    if alarm:
        group["AlarmConfiguration"] = {"Enabled": True, "Alarms": [{"Name": alarm}]}
    update = {
        "ApplicationName": {"Fn::Join": ["", [ref("Application"), ""]]},
        "DeploymentGroupName": ref("Group"),
        "BeforeAllowTrafficHook": ref("Hook" if before else "AWS::NoValue"),
    }
    alias = {"FunctionName": ref("Function"), "Name": "live", "FunctionVersion": str(version), **properties}
    resources: Resources = {
        "Role": role(("codedeploy:*", "*")),
        "Function": function("Role"),
        "ServiceRole": service_role,
        "Application": {"Type": "AWS::CodeDeploy::Application", "Properties": {"ComputePlatform": "Lambda"}},
        "Group": {"Type": "AWS::CodeDeploy::DeploymentGroup", "Properties": group},
        "Alias": {
            "Type": "AWS::Lambda::Alias",
            "Properties": alias,
            "UpdatePolicy": {"CodeDeployLambdaAliasUpdate": update},
        },
    }
    if before:
        resources["Hook"] = function("Role", before)
    return resources


OUTPUTS = {"Function": ref("Function"), "Application": ref("Application"), "Group": ref("Group")}


def release(aws: LocalAws, **settings: Any) -> Stack:  # noqa: ANN401
    """A deployed stack, whose function has versions 1 and 2 and whose alias is at 1."""
    resources = stack_of(1, **settings)
    versions = {f"Version{number}": version_of("Function", number) for number in (1, 2)}
    stack = deploy(aws, resources | versions | {"Alias": after(resources["Alias"], *versions)}, OUTPUTS)
    assert deployments(stack) == []
    return stack


def update(stack: Stack, version: int = 2, extra: Resources | None = None, **settings: Any) -> Stack:  # noqa: ANN401
    """Give the stack's alias another version."""
    resources = stack_of(version, **settings)
    versions = {f"Version{number}": version_of("Function", number) for number in (1, 2)}
    described = resources | versions | {"Alias": after(resources["Alias"], *versions)}
    return stack.update(described | (extra or {}), OUTPUTS)


def version_of(function_id: str, number: int) -> dict[str, Any]:
    properties = {"FunctionName": ref(function_id), "Description": f"number {number}"}
    described: dict[str, Any] = {"Type": "AWS::Lambda::Version", "Properties": properties}
    return described if number == 1 else after(described, f"Version{number - 1}")


def after(resource: dict[str, Any], *others: str) -> dict[str, Any]:
    return resource | {"DependsOn": list(others)}


def alias(stack: Stack) -> tuple[str, dict[str, float]]:
    found = stack.aws.client("lambda").get_alias(FunctionName=stack.outputs["Function"], Name="live")
    return found["FunctionVersion"], found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})


def deployments(stack: Stack) -> list[dict[str, Any]]:
    """The deployments of the stack's group, the newest first."""
    client, outputs = stack.aws.client("codedeploy"), stack.outputs
    ids = client.list_deployments(
        applicationName=outputs["Application"], deploymentGroupName=outputs["Group"]
    )["deployments"]
    return [client.get_deployment(deploymentId=id_)["deploymentInfo"] for id_ in ids]


def status(stack: Stack) -> str:
    found: str = stack.aws.client("cloudformation").describe_stacks(StackName=stack.name)["Stacks"][0][
        "StackStatus"
    ]
    return found


# --- A release that succeeds


def test_a_new_version_is_deployed_by_codedeploy_and_waited_for(quick_aws: LocalAws) -> None:
    stack = release(quick_aws, config=CANARY)
    update(stack, config=CANARY)  # returns when the stack is UPDATE_COMPLETE
    assert alias(stack) == ("2", {})
    (made,) = deployments(stack)
    assert (made["status"], made["creator"]) == ("Succeeded", "user")
    assert made["completeTime"] - made["startTime"]
    spec = json.loads(made["revision"]["string"]["content"])
    ((described,),) = (resource.values() for resource in spec["Resources"])
    assert described["Properties"] == {
        "Name": stack.outputs["Function"],
        "Alias": "live",
        "CurrentVersion": "1",
        "TargetVersion": "2",
    }
    stack.delete()


def test_the_alias_keeps_its_weights_while_the_stack_waits(quick_aws: LocalAws) -> None:
    stack = release(quick_aws, config=CANARY)
    updating = threading.Thread(target=update, args=(stack,), kwargs={"config": CANARY})
    updating.start()
    eventually(lambda: alias(stack) == ("1", {"2": 0.1}))
    assert status(stack) == "UPDATE_IN_PROGRESS"
    updating.join()
    assert alias(stack) == ("2", {})


def test_another_change_of_the_alias_makes_no_deployment(quick_aws: LocalAws) -> None:
    stack = release(quick_aws)
    update(stack, 1, Description="another")
    assert deployments(stack) == []


def test_the_hook_of_the_update_policy_runs_with_the_managed_policy_only_under_its_name(
    quick_aws: LocalAws,
) -> None:
    managed = "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited"
    settings = {"before": hook_source(), "managed_policy": managed}
    stack = release(quick_aws, **settings)
    with pytest.raises(DeploymentFailedError, match="does not give you permission"):
        update(stack, **settings)
    assert alias(stack) == ("1", {})
    own = {"before": hook_source()}
    update(update(stack, 1, **own), **own)
    assert alias(stack) == ("2", {})


# --- A release that fails


def test_a_failed_hook_fails_the_update_and_the_stack_rolls_back(quick_aws: LocalAws) -> None:
    settings = {"before": hook_source("Failed")}
    stack = release(quick_aws, **settings)
    with pytest.raises(DeploymentFailedError) as failure:
        update(stack, **settings)
    last = deployments(stack)[-1]
    assert f'Alias: Resource handler returned message: "{last["deploymentId"]} failed. ' in str(failure.value)
    assert last["errorInformation"]["message"] in str(failure.value)
    assert "HandlerErrorCode: InternalFailure" in str(failure.value)
    assert status(stack) == "UPDATE_ROLLBACK_COMPLETE"
    assert alias(stack) == ("1", {})


@pytest.mark.parametrize("events", [ALL_EVENTS, []])
def test_an_alarm_fails_the_update_and_leaves_the_old_version(quick_aws: LocalAws, events: list[str]) -> None:
    settings: dict[str, Any] = {"config": CANARY, "alarm": make_alarm(quick_aws), "events": events}
    stack = release(quick_aws, **settings)

    def ring_at_the_canary() -> None:
        eventually(lambda: alias(stack)[1])
        ring(quick_aws, settings["alarm"])

    ringing = threading.Thread(target=ring_at_the_canary)
    ringing.start()
    with pytest.raises(DeploymentFailedError, match="One or more alarms have been activated"):
        update(stack, **settings)
    ringing.join()
    assert status(stack) == "UPDATE_ROLLBACK_COMPLETE"
    assert alias(stack) == ("1", {})


def test_an_alias_that_was_moved_by_hand_is_not_deployed(quick_aws: LocalAws) -> None:
    stack = release(quick_aws)
    name = stack.outputs["Function"]
    client = quick_aws.client("lambda")
    client.publish_version(FunctionName=name)
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="2")
    update(stack)  # It is where it shall be.
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="1")
    with pytest.raises(DeploymentFailedError, match="alias version does not match the current version"):
        update(stack, 3)


def test_a_later_failure_brings_the_old_version_back_by_a_deployment(quick_aws: LocalAws) -> None:
    stack = release(quick_aws)
    with pytest.raises(DeploymentFailedError):
        update(stack, extra={"Broken": after(BROKEN, "Alias")})
    assert status(stack) == "UPDATE_ROLLBACK_COMPLETE"
    assert alias(stack) == ("1", {})
    assert [made["status"] for made in deployments(stack)] == ["Succeeded", "Succeeded"]


def test_cancelling_the_update_stops_the_deployment_and_goes_back(quick_aws: LocalAws) -> None:
    stack = release(quick_aws, config=CANARY, events=[])

    def cancel_at_the_canary() -> None:
        eventually(lambda: alias(stack)[1])
        quick_aws.client("cloudformation").cancel_update_stack(StackName=stack.name)

    cancelling = threading.Thread(target=cancel_at_the_canary)
    cancelling.start()
    with pytest.raises(DeploymentFailedError, match="Resource update cancelled"):
        update(stack, config=CANARY, events=[])
    cancelling.join()
    assert status(stack) == "UPDATE_ROLLBACK_COMPLETE"
    assert alias(stack) == ("1", {})
    rollback, stopped = deployments(stack)
    assert (stopped["status"], rollback["creator"]) == ("Stopped", "codeDeployRollback")


def test_a_reset_gives_up_a_stack_that_waits_for_a_deployment(quick_aws: LocalAws) -> None:
    stack = release(quick_aws, config=CANARY)
    described = stack_of(2, config=CANARY)
    quick_aws.client("cloudformation").update_stack(
        StackName=stack.name,
        TemplateBody=json.dumps(template(described, OUTPUTS)),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    eventually(lambda: alias(stack)[1])
    quick_aws.reset()
    again = release(quick_aws)
    update(again)
    assert alias(again) == ("2", {})


def test_what_the_update_policy_refers_to_may_not_refer_to_the_alias(quick_aws: LocalAws) -> None:
    resources = stack_of(1, alarm="some")
    resources["Group"]["Properties"]["AlarmConfiguration"]["Alarms"] = [{"Name": ref("Alias")}]
    with pytest.raises(Exception, match="Circular dependency"):
        deploy(quick_aws, resources)


def test_still_needed_the_emulator_alone_has_no_codedeploy(stock_aws: LocalAws) -> None:
    with pytest.raises(DeploymentFailedError, match="AWS::CodeDeploy::Application"):
        deploy(stock_aws, {"Application": stack_of(1)["Application"]})


def test_still_needed_the_emulator_alone_moves_an_alias_at_once_whatever_its_policy(
    stock_aws: LocalAws,
) -> None:
    policy = {"ApplicationName": "none", "DeploymentGroupName": "none"}

    def described(version: str) -> Resources:
        properties = {"FunctionName": ref("Function"), "Name": "live", "FunctionVersion": version}
        released = {"UpdatePolicy": {"CodeDeployLambdaAliasUpdate": policy}, "Properties": properties}
        versions = {f"Version{number}": version_of("Function", number) for number in (1, 2)}
        it = {"Alias": after({"Type": "AWS::Lambda::Alias"} | released, *versions)}
        return {"Role": role(), "Function": function("Role")} | versions | it

    outputs = {"Function": ref("Function")}
    stack = deploy(stock_aws, described("1"), outputs)
    stack.update(described("2"), outputs)
    assert alias(stack) == ("2", {})
