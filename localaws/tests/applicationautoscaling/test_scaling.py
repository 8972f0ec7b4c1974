"""Application Auto Scaling changes provisioned concurrency by schedule and by utilization."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Hold, eventually
from helpers.stacks import DeploymentFailedError, deploy, function, ref, role
from localaws.services.applicationautoscaling.records import Refused, numbers
from localaws.services.applicationautoscaling.scaling import _is_due

pytestmark = pytest.mark.local

SOURCE = "def handler(event, context): return 'done'"
DIMENSION = "lambda:function:ProvisionedConcurrency"
ZONE = "Asia/Kolkata"  # half an hour off, and without daylight saving time
UTILIZATION = {"PredefinedMetricType": "LambdaProvisionedConcurrencyUtilization"}


def published(functions: Functions, source: str = SOURCE) -> dict[str, str]:
    """A function with version 1 behind the alias `live`, as Application Auto Scaling names it."""
    client, name = functions.aws.client("lambda"), functions.make(source, Timeout=120)
    client.publish_version(FunctionName=name)
    client.create_alias(FunctionName=name, Name="live", FunctionVersion="1")
    return {
        "ServiceNamespace": "lambda",
        "ScalableDimension": DIMENSION,
        "ResourceId": f"function:{name}:live",
    }


def capacity(functions: Functions, target: dict[str, str]) -> int:
    """The provisioned concurrency that is requested."""
    _, name, qualifier = target["ResourceId"].split(":")
    client = functions.aws.client("lambda")
    try:
        found = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
    except client.exceptions.ProvisionedConcurrencyConfigNotFoundException:
        return 0
    return int(found["RequestedProvisionedConcurrentExecutions"])


def is_ready(functions: Functions, target: dict[str, str]) -> bool:
    """Whether the provisioned concurrency is there."""
    _, name, qualifier = target["ResourceId"].split(":")
    client = functions.aws.client("lambda")
    found = client.get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)
    return bool(found["Status"] == "READY")


def scaling(functions: Functions) -> Any:
    """The client."""
    return functions.aws.client("application-autoscaling")


def causes(functions: Functions, target: dict[str, str]) -> list[str]:
    """Why the capacity or its range was changed, oldest first."""
    found = scaling(functions).describe_scaling_activities(
        ServiceNamespace="lambda", ResourceId=target["ResourceId"]
    )["ScalingActivities"]
    return [f"{one['StatusCode']}: {one['Cause']}" for one in reversed(found)]


def test_a_target_brings_the_capacity_into_its_range(functions: Functions) -> None:
    target, client = published(functions), scaling(functions)
    for wanted, low, high in ((2, 2, 4), (3, 3, 6), (1, 0, 1)):
        client.register_scalable_target(**target, MinCapacity=low, MaxCapacity=high)
        assert capacity(functions, target) == wanted
        eventually(lambda: is_ready(functions, target))
    client.register_scalable_target(**target, MaxCapacity=0)
    assert capacity(functions, target) == 0
    (found,) = client.describe_scalable_targets(
        ServiceNamespace="lambda", ResourceIds=[target["ResourceId"]]
    )["ScalableTargets"]
    assert (found["MinCapacity"], found["MaxCapacity"]) == (0, 0)
    assert causes(functions, target) == [
        "Successful: minimum capacity was set to 2",
        "Successful: minimum capacity was set to 3",
        "Successful: maximum capacity was set to 1",
        "Successful: maximum capacity was set to 0",
    ]
    client.deregister_scalable_target(**target)
    with pytest.raises(client.exceptions.ObjectNotFoundException):
        client.deregister_scalable_target(**target)


def test_a_change_that_lambda_refuses_is_a_failed_activity(functions: Functions) -> None:
    target = published(functions)
    name = target["ResourceId"].split(":")[1]
    functions.aws.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    scaling(functions).register_scalable_target(**target, MinCapacity=2, MaxCapacity=4)
    assert causes(functions, target) == ["Failed: minimum capacity was set to 2"]
    assert capacity(functions, target) == 0


def test_an_activity_is_in_progress_until_the_environments_are_ready_or_fail(
    functions: Functions, hold: Hold
) -> None:
    slow = published(functions, f"{hold.source}\nhold()\n{SOURCE}")
    broken = published(functions, "raise RuntimeError('no table')")
    for target in (slow, broken):
        scaling(functions).register_scalable_target(**target, MinCapacity=1, MaxCapacity=4)
    assert causes(functions, slow) == ["InProgress: minimum capacity was set to 1"]
    hold.release()
    eventually(lambda: causes(functions, slow) == ["Successful: minimum capacity was set to 1"])
    eventually(lambda: causes(functions, broken) == ["Failed: minimum capacity was set to 1"])
    (failed,) = scaling(functions).describe_scaling_activities(
        ServiceNamespace="lambda", ResourceId=broken["ResourceId"]
    )["ScalingActivities"]
    assert "FUNCTION_ERROR_INIT_FAILURE" in failed["StatusMessage"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ResourceId": "function:nothing:live"}, "Function not found"),
        ({"ResourceId": "function:nothing:$LATEST"}, "Unsupported resource ID"),
        ({"ServiceNamespace": "ecs"}, "only lambda is"),
        ({"MinCapacity": 5}, "cannot be less than minimum"),
        ({"MinCapacity": None}, "are required"),
    ],
)
def test_what_is_no_target_is_refused(functions: Functions, changed: dict[str, Any], message: str) -> None:
    request = {**published(functions), "MinCapacity": 1, "MaxCapacity": 2} | changed
    with pytest.raises(ClientError, match=message):
        scaling(functions).register_scalable_target(**{k: v for k, v in request.items() if v is not None})


def test_descriptions_name_a_service(functions: Functions) -> None:
    assert scaling(functions).describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"] == []
    with pytest.raises(ClientError, match="is not one of"):
        scaling(functions).describe_scalable_targets(ServiceNamespace="garbage")


def test_an_action_that_is_put_again_without_times_has_none(functions: Functions) -> None:
    target, client = published(functions), scaling(functions)
    client.register_scalable_target(**target, MinCapacity=0, MaxCapacity=5)
    action = {"ScheduledActionName": "yearly", "Schedule": "cron(0 0 1 1 ? *)"}
    later = datetime.now(ZoneInfo(ZONE)) + timedelta(days=800)
    earlier, wanted = later - timedelta(days=1), {"MinCapacity": 1}

    def put(**changed: Any) -> dict[str, Any]:
        client.put_scheduled_action(**target, **{**action, "ScalableTargetAction": wanted, **changed})
        found = client.describe_scheduled_actions(ServiceNamespace="lambda", ResourceId=target["ResourceId"])
        (one,) = found["ScheduledActions"]
        return dict(one)

    assert {"StartTime", "EndTime"} <= put(StartTime=earlier, EndTime=later).keys()
    assert not {"StartTime", "EndTime"} & put().keys()
    for changed, message in (
        ({"StartTime": later, "EndTime": earlier}, "EndTime must be after"),
        ({"ScalableTargetAction": {"MinCapacity": -3}}, "integer from 0"),
        ({"ScheduledActionName": "a/b"}, "1 to 256 characters"),
        ({"ScheduledActionName": " a"}, "1 to 256 characters"),
    ):
        with pytest.raises(ClientError, match=message):
            put(**changed)


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(Refused, match="MinCapacity is 'abc': it must be an integer"):
        numbers({"MinCapacity": "abc"})


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"PolicyType": "StepScaling"}, "StepScaling is not supported"),
        ({"TargetValue": 0.95}, "from 0.1 to 0.9"),
        (
            {"PredefinedMetricSpecification": {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}},
            "use",
        ),
        ({"PredefinedMetricSpecification": None}, "Give either"),
    ],
)
def test_what_is_no_policy_of_lambda_is_refused(
    functions: Functions, request_: dict[str, Any], message: str
) -> None:
    target, client = published(functions), scaling(functions)
    kind = request_.pop("PolicyType", "TargetTrackingScaling")
    tracking = {"TargetValue": 0.5, "PredefinedMetricSpecification": UTILIZATION} | request_
    policy = {
        "PolicyName": "p",
        "PolicyType": kind,
        "TargetTrackingScalingPolicyConfiguration": {k: v for k, v in tracking.items() if v is not None},
    }
    if kind == "TargetTrackingScaling":
        with pytest.raises(client.exceptions.ObjectNotFoundException):
            client.put_scaling_policy(**target, **policy)
    client.register_scalable_target(**target, MinCapacity=0, MaxCapacity=1)
    with pytest.raises(ClientError, match=message):
        client.put_scaling_policy(**target, **policy)


def test_a_scheduled_action_sets_the_range_at_a_time_of_its_zone(functions: Functions) -> None:
    target, client = published(functions), scaling(functions)
    client.register_scalable_target(**target, MinCapacity=0, MaxCapacity=5)
    local = datetime.now(ZoneInfo(ZONE)) + timedelta(seconds=3)
    client.put_scheduled_action(
        **target,
        ScheduledActionName="evening",
        Schedule=f"at({local:%Y-%m-%dT%H:%M:%S})",
        Timezone=ZONE,
        ScalableTargetAction={"MinCapacity": 2},
    )
    eventually(lambda: capacity(functions, target) == 2)
    assert datetime.now(ZoneInfo(ZONE)) >= local.replace(microsecond=0)
    eventually(lambda: is_ready(functions, target))
    assert causes(functions, target) == [
        "Successful: scheduled action name evening was triggered",
        "Successful: minimum capacity was set to 2",
    ]
    with pytest.raises(ClientError, match="is not valid"):
        client.put_scheduled_action(
            **target,
            ScheduledActionName="x",
            Schedule="cron(61 8 * * ? *)",
            ScalableTargetAction={"MinCapacity": 1},
        )


def test_an_action_that_is_put_again_makes_up_for_no_time_that_has_passed() -> None:
    month = (datetime.now(ZoneInfo("UTC")).month + 5) % 12 + 1
    yearly = {
        "ScheduledActionARN": "yearly",
        "Schedule": f"cron(0 0 1 {month} ? *)",
        "Timezone": "UTC",
        "CreationTime": 0.0,
    }
    assert [_is_due(yearly), _is_due(yearly), _is_due(dict(yearly))] == [False, False, False]
    once = yearly | {"ScheduledActionARN": "once", "Schedule": "at(2026-01-01T00:00:00)"}
    assert [_is_due(once), _is_due(once), _is_due(dict(once))] == [True, False, False]


@pytest.mark.localaws(pace=0.3)
def test_utilization_scales_out_to_the_target_and_in_again_only_with_data(
    functions: Functions, hold: Hold
) -> None:
    target = published(functions, f"{hold.source}\ndef handler(event, context): hold()")
    client, name = scaling(functions), target["ResourceId"].split(":")[1]
    client.register_scalable_target(**target, MinCapacity=1, MaxCapacity=3)
    eventually(lambda: is_ready(functions, target))  # an invocation before that would spill over
    answer = client.put_scaling_policy(
        **target,
        PolicyName="utilization",
        PolicyType="TargetTrackingScaling",
        TargetTrackingScalingPolicyConfiguration={
            "TargetValue": 0.7,
            "PredefinedMetricSpecification": UTILIZATION,
        },
    )
    alarms = {one["AlarmName"] for one in answer["Alarms"]}
    described = functions.aws.client("cloudwatch").describe_alarms(AlarmNames=sorted(alarms))["MetricAlarms"]
    assert {(one["Threshold"], one["EvaluationPeriods"]) for one in described} == {(0.7, 3), (0.63, 15)}
    low = next(name for name in alarms if "-AlarmLow-" in name)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(functions.invoke, name, qualifier="live")
        eventually(lambda: capacity(functions, target) == 2)  # all are busy: 1 / 0.7, rounded up
        client.register_scalable_target(**target, MinCapacity=3)
        client.register_scalable_target(**target, MinCapacity=1)
        eventually(lambda: capacity(functions, target) == 2)  # a third is busy: 3 * 0.33 / 0.7
        hold.release()
        assert running.result().error is None
    eventually(lambda: state(functions, low) == "INSUFFICIENT_DATA")
    assert capacity(functions, target) == 2
    scaled = [one for one in causes(functions, target) if "monitor alarm" in one]
    assert ["-AlarmHigh-" in one for one in scaled] == [True, False]
    client.delete_scaling_policy(**target, PolicyName="utilization")
    assert not functions.aws.client("cloudwatch").describe_alarms(AlarmNames=sorted(alarms))["MetricAlarms"]


def state(functions: Functions, alarm: str) -> str:
    """The state of an alarm."""
    found = functions.aws.client("cloudwatch").describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
    return str(found[0]["StateValue"])


def test_a_template_makes_targets_with_actions_and_policies(functions: Functions) -> None:
    stack = deploy(functions.aws, resources(), {"Function": ref("Function"), "Target": ref("Target")})
    name, client = stack.outputs["Function"], scaling(functions)
    target = {"ResourceId": f"function:{name}:live"}
    assert stack.outputs["Target"] == f"function:{name}:live|{DIMENSION}|lambda"
    assert capacity(functions, target) == 1

    def found(kind: str) -> list[dict[str, Any]]:
        answer = getattr(client, f"describe_{kind}")(ServiceNamespace="lambda", **target)
        return next(value for key, value in answer.items() if key != "ResponseMetadata")

    (action,) = found("scheduled_actions")
    assert (action["Schedule"], action["Timezone"]) == ("cron(0 8 * * ? *)", "Europe/Berlin")
    (policy,) = found("scaling_policies")
    assert len(policy["Alarms"]) == 2
    stack.update(resources(ScheduledActions=[], MinCapacity=2))
    assert found("scheduled_actions") == []
    assert capacity(functions, target) == 2
    assert functions.aws.dropped_properties() == []
    stack.delete()
    assert found("scaling_policies") == []
    with pytest.raises(DeploymentFailedError, match="cannot be less than minimum"):
        deploy(functions.aws, resources(MinCapacity=9), {})


def resources(**changed: Any) -> dict[str, dict[str, Any]]:
    """A function with an alias that scales."""
    action = {
        "ScheduledActionName": "morning",
        "Schedule": "cron(0 8 * * ? *)",
        "Timezone": "Europe/Berlin",
        "ScalableTargetAction": {"MinCapacity": 2},
    }
    target = {
        "ServiceNamespace": "lambda",
        "ScalableDimension": DIMENSION,
        "ResourceId": {"Fn::Sub": "function:${Function}:live"},
        "MinCapacity": 1,
        "MaxCapacity": 3,
        "ScheduledActions": [action],
    }
    policy = {
        "PolicyName": "utilization",
        "PolicyType": "TargetTrackingScaling",
        "ScalingTargetId": ref("Target"),
        "TargetTrackingScalingPolicyConfiguration": {
            "TargetValue": 0.7,
            "PredefinedMetricSpecification": UTILIZATION,
        },
    }
    version = {"Fn::GetAtt": ["Version", "Version"]}
    alias = {"FunctionName": ref("Function"), "FunctionVersion": version, "Name": "live"}
    kind = "AWS::ApplicationAutoScaling::"
    return {
        "Role": role(),
        "Function": function("Role", SOURCE),
        "Version": {"Type": "AWS::Lambda::Version", "Properties": {"FunctionName": ref("Function")}},
        "Alias": {"Type": "AWS::Lambda::Alias", "Properties": alias},
        "Target": {"Type": f"{kind}ScalableTarget", "Properties": target | changed, "DependsOn": ["Alias"]},
        "Policy": {"Type": f"{kind}ScalingPolicy", "Properties": policy},
    }


def test_still_needed_the_emulator_has_no_application_auto_scaling(stock_functions: Functions) -> None:
    once = Config(retries={"total_max_attempts": 1})
    client = stock_functions.aws.session.client("application-autoscaling", config=once)
    with pytest.raises(ClientError):
        client.describe_scalable_targets(ServiceNamespace="lambda")
