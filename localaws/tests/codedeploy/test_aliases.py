"""CloudFormation updates an alias with CodeDeploy if it has an update policy."""

from __future__ import annotations

import functools
import json
import threading
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, eventually, zipped
from helpers.releases import ALL_EVENTS, LONG, ROLE_ALLOWS, Release, canary, hook_source, make_alarm, ring
from helpers.stacks import (
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
from localaws import LocalAws

pytestmark = pytest.mark.local

MANAGED_POLICY = "arn:aws:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited"
CANARY = "CodeDeployDefault.LambdaCanary10Percent30Minutes"
SOURCE = "def handler(event, context): return {version}"
RETAINED_VERSION = {
    "Type": "AWS::Lambda::Version",
    "DeletionPolicy": "Retain",
    "Properties": {"FunctionName": ref("Function")},
}
BROKEN = {
    "Type": "AWS::Lambda::Permission",
    "DependsOn": "Alias",
    "Properties": {"FunctionName": "none", "Principal": "*", "Action": "lambda:InvokeFunction"},
}


def stack_of(
    number: int,
    *,
    config: str = "CodeDeployDefault.LambdaAllAtOnce",
    alarm: str = "",
    events: list[str] | None = None,
    before: str = "",
    managed_policy: str = "",
    **properties: Any,
) -> Resources:
    """A function, a version, an alias of that version, and a deployment group.

    Args:
        number: What the function returns; another number makes another version.
        config: The deployment configuration.
        alarm: An alarm's name.
        events: The events after which a deployment is rolled back; by default all.
        before: The source of a hook before the shift.
        managed_policy: A managed policy for the service role, instead of an inline one.
        properties: Properties of the alias.
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
    version = f"Version{number}"
    alias = {"FunctionName": ref("Function"), "Name": "live", "FunctionVersion": number_of(version)}
    resources: Resources = {
        "Role": role(("codedeploy:*", "*")),
        "Function": function("Role", SOURCE.format(version=number)),
        version: RETAINED_VERSION,
        "ServiceRole": service_role,
        "Application": {"Type": "AWS::CodeDeploy::Application", "Properties": {"ComputePlatform": "Lambda"}},
        "Group": {"Type": "AWS::CodeDeploy::DeploymentGroup", "Properties": group},
        "Alias": {
            "Type": "AWS::Lambda::Alias",
            "Properties": alias | properties,
            "UpdatePolicy": {"CodeDeployLambdaAliasUpdate": update},
        },
    }
    if before:
        resources["Hook"] = function("Role", before)
    return resources


OUTPUTS = {"Function": ref("Function"), "Application": ref("Application"), "Group": ref("Group")}


def number_of(version_id: str) -> dict[str, Any]:
    return {"Fn::GetAtt": [version_id, "Version"]}


def release(aws: LocalAws, **settings: Any) -> Stack:
    """A deployed stack whose alias points to version 1."""
    stack = deploy(aws, stack_of(1, **settings), OUTPUTS)
    assert deployments(stack) == []
    return stack


def update(stack: Stack, number: int = 2, extra: Resources | None = None, **settings: Any) -> Stack:
    """Change the code of the stack's function, and point the alias to the new version."""
    return stack.update(stack_of(number, **settings) | (extra or {}), OUTPUTS)


def alias(stack: Stack, name: str = "live") -> tuple[str, dict[str, float]]:
    found = stack.aws.client("lambda").get_alias(FunctionName=stack.outputs["Function"], Name=name)
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
    updating = threading.Thread(target=update, args=(stack,), kwargs={"config": CANARY})
    updating.start()
    eventually(lambda: alias(stack) == ("1", {"2": 0.1}))
    (running,) = deployments(stack)
    assert (running["status"], running["creator"]) == ("InProgress", "user")
    updating.join()  # when the stack is UPDATE_COMPLETE
    assert deployments(stack)[0]["status"] == "Succeeded"
    assert alias(stack) == ("2", {})
    spec = json.loads(running["revision"]["string"]["content"])
    ((described,),) = (resource.values() for resource in spec["Resources"])
    assert described["Properties"] == {
        "Name": stack.outputs["Function"],
        "Alias": "live",
        "CurrentVersion": "1",
        "TargetVersion": "2",
    }
    stack.delete()


def test_another_change_of_the_alias_makes_no_deployment(quick_aws: LocalAws) -> None:
    stack = release(quick_aws)
    update(stack, 1, Description="another")
    assert deployments(stack) == []


def test_the_hook_of_the_update_policy_runs_with_the_managed_policy_only_under_its_name(
    quick_aws: LocalAws,
) -> None:
    settings: dict[str, Any] = {"before": hook_source(), "managed_policy": MANAGED_POLICY}
    stack = release(quick_aws, **settings)
    with pytest.raises(DeploymentFailedError, match="does not give you permission"):
        update(stack, **settings)
    assert alias(stack) == ("1", {})
    renamed = stack_of(2, **settings)
    renamed["Hook"]["Properties"]["FunctionName"] = f"CodeDeployHook_{stack.name}"
    stack.update(renamed, OUTPUTS)
    assert Functions(quick_aws).invoke(stack.outputs["Function"], qualifier="live").payload == 2


# --- A release that fails


def test_a_failed_hook_fails_the_update_and_the_stack_rolls_back(quick_aws: LocalAws) -> None:
    settings: dict[str, Any] = {"before": hook_source("Failed")}
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
    settings: dict[str, Any] = {"config": canary(quick_aws, LONG), "events": events}
    settings["alarm"] = make_alarm(quick_aws)
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


def alarm_on(version: str, **properties: Any) -> dict[str, Any]:
    """An alarm on the errors of a version, in a template."""
    dimension = {"Name": "ExecutedVersion", "Value": number_of(version)}
    settings = {
        "Namespace": "Test",
        "MetricName": "Errors",
        "Dimensions": [dimension],
        "Statistic": "Sum",
        "Period": 86400,
        "EvaluationPeriods": 1,
        "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "ignore",
    }
    return {"Type": "AWS::CloudWatch::Alarm", "Properties": settings | properties}


@pytest.mark.parametrize("replaced", [False, True])
def test_an_alarm_that_is_updated_in_place_stays_in_alarm_and_a_replaced_one_begins_anew(
    quick_aws: LocalAws, replaced: bool
) -> None:
    def described(number: int) -> Resources:
        resources = stack_of(number, alarm="set below")
        version = f"Version{number}"
        name = {"Fn::Join": ["-", [ref("AWS::StackName"), number_of(version)]]}
        resources["Alarm"] = alarm_on(version, **({"AlarmName": name} if replaced else {}))
        resources["Group"]["Properties"]["AlarmConfiguration"]["Alarms"] = [{"Name": ref("Alarm")}]
        return resources

    outputs = OUTPUTS | {"Alarm": ref("Alarm")}
    stack = deploy(quick_aws, described(1), outputs)
    ring(quick_aws, stack.outputs["Alarm"])
    if replaced:
        stack.update(described(2), outputs)
        assert alias(stack) == ("2", {})
        return
    with pytest.raises(DeploymentFailedError, match=f"Activated alarms: <{stack.outputs['Alarm']}>"):
        stack.update(described(2), outputs)
    assert alias(stack) == ("1", {})


def test_a_release_may_take_an_active_alarm_out_of_its_group(quick_aws: LocalAws) -> None:
    name = make_alarm(quick_aws)
    stack = release(quick_aws, alarm=name)
    ring(quick_aws, name)
    update(stack)
    assert alias(stack) == ("2", {})


def test_an_update_during_another_deployment_fails(quick_aws: LocalAws) -> None:
    stack = release(quick_aws)
    client, function_name = quick_aws.client("lambda"), stack.outputs["Function"]
    code = zipped({"index.py": SOURCE.format(version=2)})
    client.update_function_code(FunctionName=function_name, ZipFile=code, Publish=True)
    other = Release(quick_aws, function_name, stack.outputs["Application"], stack.outputs["Group"])
    id_ = other.deploy(minutes=LONG)
    other.wait_for_canary()
    with pytest.raises(DeploymentFailedError, match=f"already has an active Deployment '{id_}'"):
        update(stack, 3)
    assert alias(stack) == ("1", {"2": 0.1})
    assert status(stack) == "UPDATE_ROLLBACK_COMPLETE"
    other.codedeploy.stop_deployment(deploymentId=id_)


def test_an_alias_that_was_moved_by_hand_is_not_deployed(quick_aws: LocalAws) -> None:
    stack = release(quick_aws)
    name = stack.outputs["Function"]
    client = quick_aws.client("lambda")
    update(stack)
    client.update_alias(FunctionName=name, Name="live", FunctionVersion="1")
    with pytest.raises(DeploymentFailedError, match="alias version does not match the current version"):
        update(stack, 3)
    assert alias(stack)[0] != "3"
    assert status(stack) == "UPDATE_ROLLBACK_FAILED"


@pytest.mark.parametrize("way_out", ["move it back", "skip it"])
def test_after_an_alias_was_moved_by_hand_the_rollback_can_be_continued(
    quick_aws: LocalAws, way_out: str
) -> None:
    stack = release(quick_aws)
    move = functools.partial(
        quick_aws.client("lambda").update_alias, FunctionName=stack.outputs["Function"], Name="live"
    )
    update(stack)
    move(FunctionVersion="1")
    with pytest.raises(DeploymentFailedError):
        update(stack, 3)
    cloudformation = quick_aws.client("cloudformation")
    last = next(one for one in deployments(stack) if one["status"] == "Succeeded")
    assert '"TargetVersion": "2"' in json.dumps(json.loads(last["revision"]["string"]["content"]))
    if way_out == "move it back":
        move(FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": {}})
        cloudformation.continue_update_rollback(StackName=stack.name)
    else:
        cloudformation.continue_update_rollback(StackName=stack.name, ResourcesToSkip=["Alias"])
        move(FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": {}})
    eventually(lambda: status(stack) == "UPDATE_ROLLBACK_COMPLETE")
    update(stack, 4)
    assert alias(stack)[1] == {}
    code = (
        quick_aws.client("lambda").invoke(FunctionName=f"{stack.outputs['Function']}:live")["Payload"].read()
    )
    assert code == b"4"


def test_a_later_failure_rolls_back_to_the_old_version_with_a_deployment(quick_aws: LocalAws) -> None:
    stack = release(quick_aws)
    with pytest.raises(DeploymentFailedError):
        update(stack, extra={"Broken": BROKEN})
    assert status(stack) == "UPDATE_ROLLBACK_COMPLETE"
    assert alias(stack) == ("1", {})
    assert [made["status"] for made in deployments(stack)] == ["Succeeded", "Succeeded"]


def test_a_stack_rolls_back_with_the_update_policy_of_the_previous_template(quick_aws: LocalAws) -> None:
    resources = stack_of(1)
    del resources["Alias"]["UpdatePolicy"]
    stack = deploy(quick_aws, resources, OUTPUTS)
    with pytest.raises(DeploymentFailedError):
        update(stack, extra={"Broken": BROKEN})
    assert alias(stack) == ("1", {})
    assert len(deployments(stack)) == 1, "there and not back"


def test_cancelling_the_update_stops_the_deployment_and_rolls_back(quick_aws: LocalAws) -> None:
    def described(number: int) -> Resources:
        resources = stack_of(number, config=CANARY, events=[])
        second = json.loads(json.dumps(resources["Alias"]))
        second["Properties"]["Name"] = "second"
        return resources | {"Second": second | {"DependsOn": "Alias"}}

    stack = deploy(quick_aws, described(1), OUTPUTS)

    def cancel_at_the_second_canary() -> None:
        eventually(lambda: alias(stack, "second")[1])
        quick_aws.client("cloudformation").cancel_update_stack(StackName=stack.name)

    cancelling = threading.Thread(target=cancel_at_the_second_canary)
    cancelling.start()
    with pytest.raises(DeploymentFailedError, match="Second: Resource update cancelled"):
        stack.update(described(2), OUTPUTS)
    cancelling.join()
    assert status(stack) == "UPDATE_ROLLBACK_COMPLETE"
    assert (alias(stack), alias(stack, "second")) == (("1", {}), ("1", {}))
    first_back, second_back, second, first = deployments(stack)
    assert (first["status"], first_back["status"], first_back["creator"]) == (
        "Succeeded",
        "Succeeded",
        "user",
    )
    assert (second["status"], second_back["creator"]) == ("Stopped", "codeDeployRollback")


def test_a_reset_abandons_a_stack_that_waits_for_a_deployment(quick_aws: LocalAws) -> None:
    config = canary(quick_aws, LONG)
    stack = release(quick_aws, config=config)
    described = stack_of(2, config=config)
    quick_aws.client("cloudformation").update_stack(
        StackName=stack.name,
        TemplateBody=json.dumps(template(described, OUTPUTS)),
        Capabilities=["CAPABILITY_NAMED_IAM"],
    )
    eventually(lambda: alias(stack)[1])
    quick_aws.reset()
    again = release(quick_aws, managed_policy=MANAGED_POLICY)
    update(again, managed_policy=MANAGED_POLICY)
    assert alias(again) == ("2", {})


def test_an_update_policy_may_not_refer_to_resources_that_refer_to_the_alias(quick_aws: LocalAws) -> None:
    resources = stack_of(1, alarm="some")
    resources["Group"]["Properties"]["AlarmConfiguration"]["Alarms"] = [{"Name": ref("Alias")}]
    with pytest.raises(Exception, match="Circular dependency"):
        deploy(quick_aws, resources)


def test_still_needed_the_emulator_has_no_codedeploy(stock_aws: LocalAws) -> None:
    with pytest.raises(ClientError, match=r"Unrecognized resource types: \[AWS::CodeDeploy::Application"):
        deploy(stock_aws, {"Application": stack_of(1)["Application"]})


def test_still_needed_the_emulator_updates_an_alias_at_once_whatever_its_policy(
    stock_aws: LocalAws,
) -> None:
    names = ("Role", "Function", "Alias")
    policy = {"ApplicationName": "none", "DeploymentGroupName": "none"}

    def described(number: int) -> Resources:
        resources = stack_of(number)
        kept = {name: resources[name] for name in (*names, f"Version{number}")}
        kept["Alias"] = kept["Alias"] | {"UpdatePolicy": {"CodeDeployLambdaAliasUpdate": policy}}
        return kept

    outputs = {"Function": ref("Function")}
    stack = deploy(stock_aws, described(1), outputs)
    stack.update(described(2), outputs)
    assert alias(stack) == ("2", {})
