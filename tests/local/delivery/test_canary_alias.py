"""The canary alias, deployed with the real CDK CLI, and released while callers invoke it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localaws import LocalAws
from scenarios.delivery import canary_alias
from scenarios.delivery.canary_alias.releases import Releases
from scenarios.framework import DeployedStack, ScenarioFailed, Story
from scenarios.support.faults import Faults
from scenarios.support.stack_updates import StackUpdates
from tasks.cdk import FOR_THIS_MACHINE, Cdk, CdkError

pytestmark = pytest.mark.local


@pytest.fixture
def story() -> Story:
    return Story("Releases", print)


@contextmanager
def alarms_disabled(stack: DeployedStack) -> Iterator[None]:
    """The deployment group ignores its alarms while the body runs.

    In the template, because each release names its own alarms there.
    """
    updates = StackUpdates(stack)

    def enable(enabled: bool) -> None:
        template = updates.template()
        [group] = [
            one for one in template["Resources"].values() if one["Type"] == "AWS::CodeDeploy::DeploymentGroup"
        ]
        group["Properties"]["AlarmConfiguration"]["Enabled"] = enabled
        updates.update(template)

    enable(False)
    try:
        yield
    finally:
        enable(True)


def test_calls_reach_the_version_that_the_alias_points_at(stack: DeployedStack) -> None:
    outcome = canary_alias.run(stack)
    assert outcome.facts["right prices"] == canary_alias.CALLS
    assert list(Releases(stack).callers.shares()) == [outcome.facts["version"]]


@pytest.mark.full
def test_a_drill_can_follow_any_release(stack: DeployedStack, faults: Faults) -> None:
    facts = canary_alias.drill(stack, faults).facts
    assert facts["failed case"] == "first article"
    assert facts["error code of the alarm"] == "ALARM_ACTIVE"
    assert facts["failed calls of the good release"] == 0
    assert facts["failed calls: stopped the deployment"] == 0
    assert facts["failed calls: cancelled the update of the stack"] == 0
    assert list(Releases(stack).callers.shares()) == [facts["released version"]]
    canary_alias.run(stack)


@pytest.mark.full
def test_the_alarm_on_duration_rolls_back_a_slow_release(stack: DeployedStack) -> None:
    releases = Releases(stack)
    with releases.callers.calling():
        releases.start("slow")
        releases.must_roll_back()
    assert "-Latency-" in next(releases.deployments())["errorInformation"]["message"]
    assert not any(call.failed for call in releases.callers.calls)


@pytest.mark.full
def test_without_alarms_the_scenario_fails_and_the_hook_after_traffic_rolls_back(
    stack: DeployedStack, story: Story
) -> None:
    with (
        alarms_disabled(stack),
        pytest.raises(ScenarioFailed, match=r"an alarm should have stopped .* AfterAllowTraffic hook failed"),
    ):
        canary_alias.trip_an_alarm(stack, story)


@pytest.mark.full
def test_with_hooks_that_pass_anything_and_without_alarms_the_scenario_fails(
    stack: DeployedStack, story: Story, faults: Faults
) -> None:
    any_response = [{"name": "any", "payload": {"article": 1}, "expected": None, "timeout": 10}]
    releases = Releases(stack)
    with (
        faults.environment(stack.output("PreTrafficFunctionName"), SMOKE_CASES=json.dumps(any_response)),
        faults.environment(stack.output("PostTrafficFunctionName"), ERROR_PERCENTAGE="100"),
        alarms_disabled(stack),
    ):
        with pytest.raises(ScenarioFailed, match="should have been rolled back succeeded"):
            canary_alias.fail_the_smoke_test(stack, story)
        with pytest.raises(ScenarioFailed, match="should have been rolled back succeeded"):
            canary_alias.trip_an_alarm(stack, story)
        releases.start("good")
        releases.finish()


@pytest.mark.full
def test_cdk_deploy_releases_a_good_version_and_fails_with_a_bad_one(
    stack: DeployedStack, local_aws: LocalAws, tmp_path: Path
) -> None:
    """The drills update the stack by CloudFormation; a user changes the app and runs `cdk deploy`."""
    releases, cdk = (
        Releases(stack),
        Cdk({**os.environ, **local_aws.environment, **FOR_THIS_MACHINE}, folder=tmp_path),
    )
    [before] = releases.callers.shares()
    with cdk.synthesizing("canary-alias", {"release": "good by cdk", "behaviour": "good"}) as synth:
        synth.finish()
    cdk.deploy("canary-alias")
    [released] = releases.callers.shares()
    assert int(released) > int(before)
    with cdk.synthesizing("canary-alias", {"release": "wrong by cdk", "behaviour": "wrong"}) as synth:
        synth.finish()
    with pytest.raises(CdkError, match="BeforeAllowTraffic"):
        cdk.deploy("canary-alias")
    assert list(releases.callers.shares()) == [released]


@pytest.mark.full
def test_a_fix_replaces_a_live_version_whose_alarm_rings(stack: DeployedStack) -> None:
    canary_alias.replace_a_bad_version(stack)
    assert canary_alias.leftovers(stack) == []
