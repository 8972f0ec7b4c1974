"""A deployment of CodeDeploy shifts an alias as configured, and rolls back after a failure."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from helpers.lambda_functions import eventually
from helpers.releases import (
    ALL_EVENTS,
    LONG,
    ROLE_ALLOWS,
    hook_source,
    make_alarm,
    make_release,
    make_versions,
    ring,
)
from localaws import LocalAws

pytestmark = pytest.mark.local

HOUR = 6.0  # of the quick one
SUCCEEDED = {"BeforeAllowTraffic": "Succeeded", "AllowTraffic": "Succeeded", "AfterAllowTraffic": "Succeeded"}


# --- Shifting


def test_all_at_once_leaves_the_alias_at_the_new_version(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    id_ = release.deploy()
    info = release.wait(id_)
    assert (info["status"], info["creator"]) == ("Succeeded", "user")
    assert info["createTime"] <= info["startTime"] <= info["completeTime"]
    assert release.alias() == ("2", {})
    assert release.events(id_) == SUCCEEDED


def test_a_canary_keeps_the_old_version_until_its_time_is_over(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    id_ = release.deploy(minutes=LONG)
    release.wait_for_canary()
    assert release.alias() == ("1", {"2": 0.1})
    assert release.events(id_)["AllowTraffic"] == "InProgress"
    release.codedeploy.stop_deployment(deploymentId=id_)
    release.wait(id_)


def test_a_canary_shifts_the_rest_when_its_time_is_over(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    began = time.monotonic()
    assert release.run(minutes=5)["status"] == "Succeeded"
    assert release.alias() == ("2", {})
    assert time.monotonic() - began > 0.45


def test_linear_shifts_go_up_in_equal_steps(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    linear = {"linearPercentage": 30, "linearInterval": 4}
    release.codedeploy.create_deployment_config(
        deploymentConfigName="Thirty",
        computePlatform="Lambda",
        trafficRoutingConfig={"type": "TimeBasedLinear", "timeBasedLinear": linear},
    )
    began = time.monotonic()
    id_ = release.deploy(deploymentConfigName="Thirty")
    seen: list[Any] = []

    def at_the_end() -> bool:
        now = release.alias()
        if seen[-1:] != [now]:
            seen.append(now)
        return now == ("2", {})

    eventually(at_the_end)
    shares = [("1", {"2": share}) for share in (0.3, 0.6, 0.9)]
    # Each lasts 0.4 seconds, so that a busy machine may not see all of them.
    assert seen == [now for now in (("1", {}), *shares, ("2", {})) if now in seen]
    assert time.monotonic() - began > 1.1
    assert release.wait(id_)["status"] == "Succeeded"


# --- Hooks


def test_hooks_run_before_and_after_the_shift(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    # Each hook fails unless the alias is where it has to be at that time.
    look = (
        'p = spec["Resources"][0]["Function"]["Properties"]; '
        'a = boto3.client("lambda").get_alias(FunctionName=p["Name"], Name=p["Alias"]); '
        'assert (a["FunctionVersion"], "RoutingConfig" in a) == (p["{version}"], False)'
    )
    before = release.hook(hook_source(before=look.format(version="CurrentVersion")))
    after = release.hook(hook_source(before=look.format(version="TargetVersion")))
    hooks = {"BeforeAllowTraffic": before, "AfterAllowTraffic": after}
    info = release.run(minutes=5, hooks=hooks)
    assert info["status"] == "Succeeded", info["errorInformation"]
    calls = quick_aws.client("logs")
    for hook in hooks.values():
        events = calls.filter_log_events(logGroupName=f"/aws/lambda/{hook}", filterPattern="START")["events"]
        assert len(events) == 1


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (hook_source("Failed"), "reported Failed"),
        ("def handler(event, context): raise ValueError('broken')", "broken"),
        ("def handler(event, context): pass", "it did not respond within an hour"),
    ],
    ids=["says no", "crashes", "never answers"],
)
def test_a_version_whose_first_hook_fails_gets_no_traffic(
    quick_aws: LocalAws, source: str, reason: str
) -> None:
    release = make_release(quick_aws)
    id_ = release.deploy(hooks={"BeforeAllowTraffic": release.hook(source)})
    info = release.wait(id_)
    assert info["status"] == "Failed"
    waited = (info["completeTime"] - info["startTime"]).total_seconds()
    assert waited >= HOUR or reason != "it did not respond within an hour"
    assert info["errorInformation"]["code"] == "HOOK_EXECUTION_FAILURE"
    assert reason in info["errorInformation"]["message"]
    assert release.events(id_) == {
        "BeforeAllowTraffic": "Failed",
        "AllowTraffic": "Skipped",
        "AfterAllowTraffic": "Skipped",
    }
    assert release.alias() == ("1", {})
    assert "rollbackInfo" not in info


def test_a_failed_last_hook_rolls_back_to_the_old_version(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws, events=["DEPLOYMENT_FAILURE"])
    info = release.run(hooks={"AfterAllowTraffic": release.hook(hook_source("Failed"))})
    assert info["status"] == "Failed"
    assert release.alias() == ("1", {})
    back = info["rollbackInfo"]["rollbackDeploymentId"]
    assert info["rollbackInfo"]["rollbackMessage"] == (
        f"Deployment {info['deploymentId']} terminated. "
        f"Automatic rollback is triggered with a DeploymentId {back}."
    )
    rollback = release.describe(back)
    assert (rollback["status"], rollback["creator"]) == ("Succeeded", "codeDeployRollback")
    assert rollback["rollbackInfo"]["rollbackTriggeringDeploymentId"] == info["deploymentId"]
    assert release.events(back) == SUCCEEDED


# --- Alarms


def test_an_alarm_stops_the_shift_and_rolls_back_to_the_old_version(quick_aws: LocalAws) -> None:
    alarm = make_alarm(quick_aws)
    release = make_release(quick_aws, alarms=(alarm,), events=["DEPLOYMENT_STOP_ON_ALARM"])
    id_ = release.deploy(minutes=LONG)
    release.wait_for_canary()
    ring(quick_aws, alarm)
    info = release.wait(id_)
    assert info["status"] == "Stopped"
    assert info["errorInformation"]["code"] == "ALARM_ACTIVE"
    assert info["errorInformation"]["message"].endswith(f"Activated alarms: <{alarm}>")
    assert release.events(id_)["AllowTraffic"] == "Failed"
    assert release.events(id_)["AfterAllowTraffic"] == "Skipped"
    assert release.alias() == ("1", {})


def test_an_active_alarm_stops_a_deployment_before_its_first_hook(quick_aws: LocalAws) -> None:
    alarm = make_alarm(quick_aws)
    ring(quick_aws, alarm)
    release = make_release(quick_aws, alarms=(alarm,), events=["DEPLOYMENT_STOP_ON_ALARM"])
    hook = release.hook(hook_source())
    id_ = release.deploy(hooks={"BeforeAllowTraffic": hook})
    info = release.wait(id_)
    assert info["errorInformation"]["code"] == "ALARM_ACTIVE"
    assert set(release.events(id_).values()) == {"Skipped"}
    assert release.describe(info["rollbackInfo"]["rollbackDeploymentId"])["status"] == "Succeeded"


def test_without_rollback_after_alarms_the_canary_stays_where_it_was(quick_aws: LocalAws) -> None:
    alarm = make_alarm(quick_aws)
    release = make_release(quick_aws, alarms=(alarm,), events=["DEPLOYMENT_FAILURE"])
    id_ = release.deploy(minutes=LONG)
    release.wait_for_canary()
    ring(quick_aws, alarm)
    assert "rollbackInfo" not in release.wait(id_)
    assert release.alias() == ("1", {"2": 0.1})


def test_a_deployment_may_look_at_other_alarms_than_its_group(quick_aws: LocalAws) -> None:
    alarm = make_alarm(quick_aws)
    ring(quick_aws, alarm)
    release = make_release(quick_aws, alarms=(alarm,))
    none = {"enabled": False, "alarms": []}
    assert release.run(overrideAlarmConfiguration=none)["status"] == "Succeeded"


# --- Stopping


@pytest.mark.parametrize(
    ("events", "asked", "expected"),
    [
        (ALL_EVENTS, {}, {}),
        ([], {}, {"2": 0.1}),
        ([], {"autoRollbackEnabled": True}, {}),
        (ALL_EVENTS, {"autoRollbackEnabled": False}, {"2": 0.1}),
    ],
)
def test_a_stopped_deployment_rolls_back_on_request_or_by_setting(
    quick_aws: LocalAws, events: list[str], asked: dict[str, bool], expected: dict[str, float]
) -> None:
    release = make_release(quick_aws, events=events)
    id_ = release.deploy(minutes=LONG)
    release.wait_for_canary()
    release.codedeploy.stop_deployment(deploymentId=id_, **asked)
    info = release.wait(id_)
    assert (info["status"], info["errorInformation"]["code"]) == ("Stopped", "MANUAL_STOP")
    assert release.alias() == ("1", expected)


def test_a_deployment_ends_when_its_alias_has_gone(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws, events=ALL_EVENTS)
    id_ = release.deploy(minutes=LONG)
    release.wait_for_canary()
    quick_aws.client("lambda").delete_alias(FunctionName=release.function, Name="live")
    info = release.wait(id_)
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "INVALID_LAMBDA_CONFIGURATION")
    assert (info["completeTime"] - info["startTime"]).total_seconds() < 60, "it waits for no shift"


def test_a_reset_ends_deployments_in_progress(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    release.deploy(minutes=10)
    quick_aws.reset()
    make_versions(quick_aws, release.function)
    assert release.codedeploy.list_deployments()["deployments"] == []
    time.sleep(1.2)  # until after the shift that must not come; a busy machine would make it late
    assert release.alias() == ("1", {})
    assert make_release(quick_aws).run()["status"] == "Succeeded"


# --- What is wrong from the start


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (
            {"current": "2"},
            "INVALID_LAMBDA_CONFIGURATION",
            "alias version does not match the current version",
        ),
        ({"target": "9"}, "INVALID_LAMBDA_CONFIGURATION", "Version 9 does not exist"),
    ],
)
def test_a_revision_that_does_not_fit_the_function_fails_and_changes_nothing(
    quick_aws: LocalAws, change: dict[str, str], code: str, message: str
) -> None:
    release = make_release(quick_aws, events=ALL_EVENTS)
    info = release.run(**change)
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", code)
    assert message in info["errorInformation"]["message"]
    assert "rollbackInfo" not in info
    assert release.alias() == ("1", {})


def test_an_alias_or_function_that_does_not_exist_fails_the_deployment(quick_aws: LocalAws) -> None:
    release = make_release(quick_aws)
    for name, value, code in (
        ("Alias", "none", "INVALID_LAMBDA_CONFIGURATION"),
        ("Name", "none", "INVALID_LAMBDA_FUNCTION"),
    ):
        spec = release.app_spec()
        spec["Resources"][0]["Function"]["Properties"][name] = value
        content = {"revisionType": "String", "string": {"content": json.dumps(spec)}}
        assert release.run(revision=content)["errorInformation"]["code"] == code


# --- The service role


@pytest.mark.parametrize(
    ("action", "service"),
    [
        ("lambda:GetAlias", "AWSLambda"),
        ("lambda:UpdateAlias", "AWSLambda"),
        ("lambda:InvokeFunction", "AWSLambda"),
        ("cloudwatch:DescribeAlarms", "AmazonCloudWatch"),
    ],
)
def test_codedeploy_needs_the_permissions_of_its_service_role(
    quick_aws: LocalAws, action: str, service: str
) -> None:
    allowed = tuple(each for each in ROLE_ALLOWS if each[0] != action)
    release = make_release(quick_aws, allowed=allowed, alarms=(make_alarm(quick_aws),))
    hook = action == "lambda:InvokeFunction"
    info = release.run(hooks={"BeforeAllowTraffic": release.hook(hook_source())} if hook else {})
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "IAM_ROLE_PERMISSIONS")
    assert f"AWS service: {service}" in info["errorInformation"]["message"]
    assert release.alias() == ("1", {})


def test_alarms_that_cannot_be_read_may_be_ignored(quick_aws: LocalAws) -> None:
    allowed = tuple(each for each in ROLE_ALLOWS if each[0] != "cloudwatch:DescribeAlarms")
    release = make_release(quick_aws, allowed=allowed)
    alarms = {"enabled": True, "ignorePollAlarmFailure": True, "alarms": [{"name": make_alarm(quick_aws)}]}
    assert release.run(overrideAlarmConfiguration=alarms)["status"] == "Succeeded"
