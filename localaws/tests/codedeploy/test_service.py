"""CodeDeploy's API stores settings, and refuses what CodeDeploy refuses."""

from __future__ import annotations

import functools
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, eventually
from helpers.releases import LAMBDA_STYLE, LONG, Release, make_alarm, make_release
from helpers.stacks import DeploymentFailedError, arn, deploy, ref, role, session_of
from localaws import LocalAws

pytestmark = pytest.mark.local


def refused(call: Callable[[], Any]) -> str:
    """The error code of a call."""
    with pytest.raises(ClientError) as refusal:
        call()
    code: str = refusal.value.response["Error"]["Code"]
    return code


def canary(percentage: int, minutes: int) -> dict[str, Any]:
    settings = {"canaryPercentage": percentage, "canaryInterval": minutes}
    return {"type": "TimeBasedCanary", "timeBasedCanary": settings}


def linear(percentage: int, minutes: int) -> dict[str, Any]:
    settings = {"linearPercentage": percentage, "linearInterval": minutes}
    return {"type": "TimeBasedLinear", "timeBasedLinear": settings}


# --- Records


def test_applications_are_made_listed_and_deleted(quick_aws: LocalAws) -> None:
    client, name = quick_aws.client("codedeploy"), f"app-{uuid.uuid4().hex[:8]}"
    client.create_application(applicationName=name, computePlatform="Lambda")
    assert client.get_application(applicationName=name)["application"]["computePlatform"] == "Lambda"
    assert name in client.list_applications()["applications"]
    again = functools.partial(client.create_application, applicationName=name, computePlatform="Lambda")
    assert refused(again) == "ApplicationAlreadyExistsException"
    client.delete_application(applicationName=name)
    assert refused(lambda: client.get_application(applicationName=name)) == "ApplicationDoesNotExistException"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Canary10Percent5Minutes", canary(10, 5)),
        ("Canary10Percent10Minutes", canary(10, 10)),
        ("Canary10Percent15Minutes", canary(10, 15)),
        ("Canary10Percent30Minutes", canary(10, 30)),
        ("Linear10PercentEvery1Minute", linear(10, 1)),
        ("Linear10PercentEvery2Minutes", linear(10, 2)),
        ("Linear10PercentEvery3Minutes", linear(10, 3)),
        ("Linear10PercentEvery10Minutes", linear(10, 10)),
        ("AllAtOnce", {"type": "AllAtOnce"}),
    ],
)
def test_the_predefined_configurations_are_there(
    quick_aws: LocalAws, name: str, expected: dict[str, Any]
) -> None:
    client, name = quick_aws.client("codedeploy"), f"CodeDeployDefault.Lambda{name}"
    info = client.get_deployment_config(deploymentConfigName=name)["deploymentConfigInfo"]
    assert info["trafficRoutingConfig"] == expected
    assert name in client.list_deployment_configs()["deploymentConfigsList"]


@pytest.mark.parametrize(
    ("routing", "accepted"),
    [
        (canary(1, 2880), True),
        (canary(0, 5), False),
        (canary(100, 5), False),
        (canary(10, 2881), False),
        (linear(50, 2880), True),
        (linear(10, 320), True),
        (linear(10, 321), False),
        (linear(10, 0), False),
        ({"type": "Sudden"}, False),
    ],
)
def test_own_configurations_keep_to_the_limits(
    quick_aws: LocalAws, routing: dict[str, Any], accepted: bool
) -> None:
    client, name = quick_aws.client("codedeploy"), f"config-{uuid.uuid4().hex[:8]}"

    def create() -> None:
        client.create_deployment_config(
            deploymentConfigName=name, computePlatform="Lambda", trafficRoutingConfig=routing
        )

    if not accepted:
        assert refused(create) == "InvalidTrafficRoutingConfigurationException"
        return
    create()
    assert refused(create) == "DeploymentConfigAlreadyExistsException"
    client.delete_deployment_config(deploymentConfigName=name)
    gone = refused(lambda: client.get_deployment_config(deploymentConfigName=name))
    assert gone == "DeploymentConfigDoesNotExistException"


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"deploymentStyle": {"deploymentType": "IN_PLACE"}}, "InvalidDeploymentStyleException"),
        ({"deploymentConfigName": "none"}, "DeploymentConfigDoesNotExistException"),
        ({"serviceRoleArn": ""}, "RoleRequiredException"),
        (
            {"autoRollbackConfiguration": {"enabled": True, "events": []}},
            "InvalidAutoRollbackConfigException",
        ),
        (
            {"alarmConfiguration": {"enabled": True, "alarms": [{"name": f"a{n}"} for n in range(51)]}},
            "AlarmsLimitExceededException",
        ),
        ({"alarmConfiguration": {"enabled": True, "alarms": []}}, "InvalidAlarmConfigException"),
        *(
            (
                {"alarmConfiguration": {"enabled": True, "alarms": [{"name": name} for name in names]}},
                "InvalidAlarmConfigException",
            )
            for names in (["a", "a"], ["a", ""], ["a" * 256])
        ),
        ({"applicationName": "none"}, "ApplicationDoesNotExistException"),
    ],
)
def test_a_group_that_could_not_work_is_refused(
    quick_aws: LocalAws, settings: dict[str, Any], code: str
) -> None:
    release = make_release(quick_aws)
    role_arn = Functions(quick_aws).role(service="codedeploy.amazonaws.com")
    good = {
        "applicationName": release.application,
        "deploymentGroupName": "other",
        "serviceRoleArn": role_arn,
        "deploymentStyle": LAMBDA_STYLE,
    }
    assert refused(lambda: release.codedeploy.create_deployment_group(**(good | settings))) == code
    release.codedeploy.create_deployment_group(**good)


def test_a_group_has_up_to_fifty_alarms(quick_aws: LocalAws) -> None:
    made = make_release(quick_aws, alarms=tuple(f"alarm-{n}" for n in range(50)))
    group = made.codedeploy.get_deployment_group(
        applicationName=made.application, deploymentGroupName=made.application
    )["deploymentGroupInfo"]
    assert len(group["alarmConfiguration"]["alarms"]) == 50


@pytest.mark.parametrize(("value", "accepted"), [(12.5, False), ("12.5", False), (True, False), ("12", True)])
@pytest.mark.parametrize("member", ["CanaryPercentage", "CanaryInterval"])
def test_a_template_with_a_fraction_of_a_percent_or_of_a_minute_is_refused(
    quick_aws: LocalAws, value: object, accepted: bool, member: str
) -> None:
    canary = {"CanaryPercentage": 10, "CanaryInterval": 5, member: value}
    config = {
        "Type": "AWS::CodeDeploy::DeploymentConfig",
        "Properties": {
            "ComputePlatform": "Lambda",
            "TrafficRoutingConfig": {"Type": "TimeBasedCanary", "TimeBasedCanary": canary},
        },
    }
    if accepted:
        deploy(quick_aws, {"Config": config})
        return
    with pytest.raises(DeploymentFailedError, match="whole numbers"):
        deploy(quick_aws, {"Config": config})


def test_a_group_is_changed_in_part_and_deleted(quick_aws: LocalAws) -> None:
    alarm = make_alarm(quick_aws)
    release = make_release(quick_aws, alarms=(alarm,))
    client, name = release.codedeploy, release.application
    config = "CodeDeployDefault.LambdaCanary10Percent5Minutes"
    client.update_deployment_group(
        applicationName=name,
        currentDeploymentGroupName=name,
        newDeploymentGroupName="renamed",
        deploymentConfigName=config,
    )
    assert client.list_deployment_groups(applicationName=name)["deploymentGroups"] == ["renamed"]
    named = {"applicationName": name, "deploymentGroupName": "renamed"}
    info = client.get_deployment_group(**named)["deploymentGroupInfo"]
    assert (info["deploymentConfigName"], info["alarmConfiguration"]["alarms"]) == (config, [{"name": alarm}])
    client.delete_deployment_group(**named)
    assert refused(lambda: client.get_deployment_group(**named)) == "DeploymentGroupDoesNotExistException"


# --- Deployments


def test_a_group_has_one_deployment_at_a_time(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    first = release.deploy(minutes=LONG)
    with pytest.raises(ClientError, match=f"already has an active Deployment '{first}'") as refusal:
        release.deploy()
    assert refusal.value.response["Error"]["Code"] == "DeploymentLimitExceededException"
    release.codedeploy.stop_deployment(deploymentId=first, autoRollbackEnabled=True)
    release.wait(first)
    assert release.run(target="3")["status"] == "Succeeded"


def test_deployments_are_listed_by_group_status_and_time(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    began = time.time()
    good, bad = release.run()["deploymentId"], release.run(target="9")["deploymentId"]
    named = {"applicationName": release.application, "deploymentGroupName": release.application}

    def listed(**filters: Any) -> list[str]:
        found: list[str] = release.codedeploy.list_deployments(**named, **filters)["deployments"]
        return found

    assert listed() == [bad, good]
    assert listed(includeOnlyStatuses=["Succeeded"]) == [good]
    assert listed(createTimeRange={"end": began - 1}) == []
    both = release.codedeploy.batch_get_deployments(deploymentIds=[good, bad])["deploymentsInfo"]
    assert [info["status"] for info in both] == ["Succeeded", "Failed"]
    group = release.codedeploy.get_deployment_group(**named)["deploymentGroupInfo"]
    assert group["lastSuccessfulDeployment"]["deploymentId"] == good
    assert group["lastAttemptedDeployment"]["deploymentId"] == bad


def test_an_ended_deployment_is_not_stopped_and_an_unknown_one_not_found(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    id_, client = release.run()["deploymentId"], release.codedeploy
    assert refused(lambda: client.stop_deployment(deploymentId=id_)) == "DeploymentAlreadyCompletedException"
    for call in (client.get_deployment, client.stop_deployment, client.list_deployment_targets):
        assert refused(functools.partial(call, deploymentId="d-NONE")) == "DeploymentDoesNotExistException"


def without(release: Release, *names: str) -> str:
    spec = release.app_spec()
    for name in names:
        spec.pop(name, None)
        spec.get("Resources", [{"Function": {"Properties": {}}}])[0]["Function"]["Properties"].pop(name, None)
    return json.dumps(spec)


@pytest.mark.parametrize(
    "missing", ["version", "Resources", "Name", "Alias", "CurrentVersion", "TargetVersion"]
)
def test_a_revision_that_lacks_something_is_refused(quick_aws: LocalAws, missing: str) -> None:
    release = make_release(quick_aws)
    content = {"content": without(release, missing)}
    revision = {"revisionType": "AppSpecContent", "appSpecContent": content}
    assert refused(lambda: release.deploy(revision=revision)) == "InvalidRevisionException"


def test_a_revision_may_be_yaml_and_is_returned_unchanged(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    content = (
        "version: 0.0\nResources:\n  - Function:\n      Type: AWS::Lambda::Function\n      Properties:\n"
        f"        Name: {release.function}\n        Alias: live\n        CurrentVersion: 1\n"
        "        TargetVersion: 2\n"
    )
    info = release.run(revision={"revisionType": "String", "string": {"content": content}})
    assert info["status"] == "Succeeded"
    assert info["revision"]["revisionType"] == "String"
    assert info["revision"]["string"]["content"] == content


# --- Answers of hooks


def test_the_answer_of_a_hook_must_be_its_own_and_counts_once(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    source = """
import boto3
def handler(event, context):
    put = boto3.client("codedeploy").put_lifecycle_event_hook_execution_status
    def answer(status, execution=event["LifecycleEventHookExecutionId"]):
        try:
            put(deploymentId=event["DeploymentId"], lifecycleEventHookExecutionId=execution, status=status)
        except Exception as refusal:
            print("refused:", refusal.response["Error"]["Code"])
    answer("Skipped")
    answer("Succeeded", "none")
    answer("Succeeded")
    answer("Failed")
"""
    hook = release.hook(source)
    assert release.run(hooks={"BeforeAllowTraffic": hook})["status"] == "Succeeded"
    logs = quick_aws.client("logs")

    def refusals() -> list[str]:
        """The logged error codes, once the hook has ended, which the deployment does not wait for."""
        if not logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{hook}")["logGroups"]:
            return []
        found = logs.filter_log_events(logGroupName=f"/aws/lambda/{hook}", filterPattern="refused")
        return [event["message"].split()[1] for event in found["events"]]

    assert eventually(lambda: len(refusals()) == 3)
    assert refusals() == [
        "InvalidLifecycleEventHookExecutionStatusException",
        "InvalidLifecycleEventHookExecutionIdException",
        "LifecycleEventAlreadyCompletedException",
    ]


# --- Permissions


def test_calls_about_a_deployment_take_permission_on_its_group(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    id_ = release.run()["deploymentId"]
    group = f"{release.application}/{release.application}"
    for suffix, allowed in ((group, True), (f"{group}-other", False)):
        resource = f"arn:aws:codedeploy:{quick_aws.region}:{quick_aws.account}:deploymentgroup:{suffix}"
        client = session_of(quick_aws, ("codedeploy:GetDeployment", resource)).client("codedeploy")
        get = functools.partial(client.get_deployment, deploymentId=id_)
        if allowed:
            get()
        else:
            assert refused(get).startswith("AccessDenied")


def test_a_service_role_must_be_passed_and_trust_codedeploy(quick_aws: LocalAws) -> None:
    release, functions = make_release(quick_aws), Functions(quick_aws)
    trusting = functions.role(service="codedeploy.amazonaws.com")
    group = {"applicationName": release.application, "deploymentStyle": LAMBDA_STYLE}
    other = group | {"deploymentGroupName": "other", "serviceRoleArn": functions.role()}
    assert refused(lambda: release.codedeploy.create_deployment_group(**other)) == "InvalidRoleException"
    passed = group | {"deploymentGroupName": "passed", "serviceRoleArn": trusting}
    may_create = ("codedeploy:CreateDeploymentGroup", "*")
    client = session_of(quick_aws, may_create).client("codedeploy")
    assert refused(lambda: client.create_deployment_group(**passed)).startswith("AccessDenied")
    client = session_of(quick_aws, may_create, ("iam:PassRole", trusting)).client("codedeploy")
    client.create_deployment_group(**passed)


# --- CloudFormation


def test_templates_make_change_and_delete_all_three(quick_aws: LocalAws) -> None:
    def described(percentage: int, alarm: str) -> dict[str, Any]:
        settings = {"CanaryPercentage": percentage, "CanaryInterval": "5"}
        routing = {"Type": "TimeBasedCanary", "TimeBasedCanary": settings}
        config = {"ComputePlatform": "Lambda", "TrafficRoutingConfig": routing}
        tags = [{"Key": "team", "Value": alarm}]
        group = {
            "ApplicationName": ref("Application"),
            "ServiceRoleArn": arn("Role"),
            "DeploymentConfigName": ref("Config"),
            "DeploymentStyle": {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"},
            "AlarmConfiguration": {"Enabled": True, "Alarms": [{"Name": alarm}]},
            "Tags": tags,
        }
        application = {"ComputePlatform": "Lambda", "Tags": tags}
        return {
            "Role": role(service="codedeploy.amazonaws.com"),
            "Application": {"Type": "AWS::CodeDeploy::Application", "Properties": application},
            "Config": {"Type": "AWS::CodeDeploy::DeploymentConfig", "Properties": config},
            "Group": {"Type": "AWS::CodeDeploy::DeploymentGroup", "Properties": group},
        }

    outputs = {"Application": ref("Application"), "Group": ref("Group"), "Config": ref("Config")}
    client = quick_aws.client("codedeploy")
    stack = deploy(quick_aws, described(20, "one"), outputs)
    first = dict(stack.outputs)
    stack.update(described(40, "two"), outputs)
    assert stack.outputs["Group"] == first["Group"]
    assert stack.outputs["Config"] != first["Config"], "another percentage is another configuration"
    named = {"applicationName": stack.outputs["Application"], "deploymentGroupName": stack.outputs["Group"]}
    info = client.get_deployment_group(**named)["deploymentGroupInfo"]
    assert info["deploymentConfigName"] == stack.outputs["Config"]
    assert info["alarmConfiguration"]["alarms"] == [{"name": "two"}]
    resource = (
        f"arn:aws:codedeploy:{quick_aws.region}:{quick_aws.account}:application:{named['applicationName']}"
    )
    tags = client.list_tags_for_resource(ResourceArn=resource)["Tags"]
    assert {tag["Key"]: tag["Value"] for tag in tags}["team"] == "two"
    config = client.get_deployment_config(deploymentConfigName=info["deploymentConfigName"])
    assert config["deploymentConfigInfo"]["trafficRoutingConfig"] == canary(40, 5)
    assert not [each for each in quick_aws.dropped_properties() if each.stack == stack.name]
    stack.delete()
    assert client.list_applications()["applications"].count(named["applicationName"]) == 0
    assert refused(
        lambda: client.get_deployment_config(deploymentConfigName=info["deploymentConfigName"])
    ) == ("DeploymentConfigDoesNotExistException")


def test_a_template_whose_role_does_not_trust_codedeploy_fails(quick_aws: LocalAws) -> None:
    group = {
        "ApplicationName": ref("Application"),
        "ServiceRoleArn": arn("Role"),
        "DeploymentStyle": {"DeploymentType": "BLUE_GREEN", "DeploymentOption": "WITH_TRAFFIC_CONTROL"},
    }
    resources = {
        "Role": role(),
        "Application": {"Type": "AWS::CodeDeploy::Application", "Properties": {"ComputePlatform": "Lambda"}},
        "Group": {"Type": "AWS::CodeDeploy::DeploymentGroup", "Properties": group},
    }
    with pytest.raises(DeploymentFailedError, match="permissions required to assume the role"):
        deploy(quick_aws, resources)
