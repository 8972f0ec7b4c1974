"""The canary alias, deployed with the real CDK CLI, and released to callers who never stop."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path

import pytest

from localaws import LocalAws
from scenarios.delivery import canary_alias
from scenarios.delivery.releases import Releases
from scenarios.faults import Faults
from scenarios.framework import DeployedStack, ScenarioFailed, Story
from tasks.cdk import FOR_THIS_MACHINE, Cdk, CdkError
from tasks.demo import check_dropped, deploy

pytestmark = pytest.mark.local

# Hooks that let everything pass.
CARELESS = """
import boto3

def pre_traffic(event, context):
    boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status="Succeeded",
    )

post_traffic = pre_traffic
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("canary-alias")


@pytest.fixture(scope="module")
def stack(local_aws: LocalAws, folder: Path) -> DeployedStack:
    outputs = deploy("canary-alias", local_aws, folder)
    return DeployedStack("canary-alias", outputs, local_aws.session, out=folder / "out")


@pytest.fixture
def story() -> Story:
    return Story("Releases", print)


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), canary_alias.ACCEPTED_NOT_EMULATED)


def test_callers_get_the_version_that_the_alias_points_at(stack: DeployedStack) -> None:
    outcome = canary_alias.run(stack)
    assert "every price was right" in outcome.story[0]


def test_a_release_that_a_smoke_case_finds_never_meets_a_caller(stack: DeployedStack, story: Story) -> None:
    canary_alias.refuse_what_a_smoke_case_finds(stack, story)
    assert "none of" in story.outcome().story[0]


def test_a_good_release_reaches_all_callers_over_a_canary(stack: DeployedStack, story: Story) -> None:
    canary_alias.release_a_good_one(stack, story)
    assert '"TargetVersion": "3"' in "".join(story.outcome().story)  # 2 is what the smoke cases found


def test_a_release_that_fails_in_traffic_is_taken_back_by_an_alarm(
    stack: DeployedStack, story: Story
) -> None:
    canary_alias.take_back_what_fails_in_traffic(stack, story)
    assert "ALARM_ACTIVE" in story.outcome().story[0]


def test_versions_whose_release_failed_are_gone(stack: DeployedStack) -> None:
    answer = stack.client("lambda").list_versions_by_function(FunctionName=stack.output("FunctionName"))
    assert [version["Version"] for version in answer["Versions"]] == ["$LATEST", "1", "3"]


@pytest.mark.full
def test_the_drill_can_follow_on_whatever_was_released(stack: DeployedStack, local_aws: LocalAws) -> None:
    outcome = canary_alias.drill(stack, Faults(local_aws.session))
    assert sum("nobody got an error" in line for line in outcome.story) == 2
    canary_alias.run(stack)


@pytest.mark.full
def test_a_slow_release_is_taken_back_by_the_alarm_on_latency(stack: DeployedStack) -> None:
    releases = Releases(stack)
    with releases.callers.calling():
        releases.start("slow")
        releases.must_be_taken_back()
    deployment = releases.last_deployment()
    assert deployment is not None
    assert "LatencyAlarm" in deployment["errorInformation"]["message"]
    assert not any(call.failed for call in releases.callers.calls)


@pytest.mark.full
def test_a_release_without_alarms_is_seen_and_the_hook_after_traffic_takes_it_back(
    stack: DeployedStack, story: Story
) -> None:
    stack.client("codedeploy").update_deployment_group(
        applicationName=stack.output("ApplicationName"),
        currentDeploymentGroupName=stack.output("DeploymentGroupName"),
        alarmConfiguration={"enabled": False, "alarms": []},
    )
    with pytest.raises(
        ScenarioFailed, match=r"an alarm should have stopped .* AfterAllowTraffic hook failed"
    ):
        canary_alias.take_back_what_fails_in_traffic(stack, story)


@pytest.mark.full
def test_hooks_that_let_everything_pass_are_seen(stack: DeployedStack, story: Story) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("handler.py", CARELESS)
    client = stack.client("lambda")
    for output in ("PreTrafficFunctionName", "PostTrafficFunctionName"):
        name = stack.output(output)
        client.update_function_code(FunctionName=name, ZipFile=archive.getvalue())
        client.get_waiter("function_updated_v2").wait(FunctionName=name)
    with pytest.raises(ScenarioFailed, match="should have been taken back was not"):
        canary_alias.refuse_what_a_smoke_case_finds(stack, story)
    with pytest.raises(ScenarioFailed, match="should have been taken back was not"):
        canary_alias.take_back_what_fails_in_traffic(stack, story)  # nor are there alarms any more


@pytest.mark.full
def test_the_cdk_releases_and_takes_back(empty_aws: LocalAws, tmp_path: Path) -> None:
    """What the drills do by CloudFormation, a user does by changing the app and `cdk deploy`."""
    outputs = deploy("canary-alias", empty_aws, tmp_path)
    stack = DeployedStack("canary-alias", outputs, empty_aws.session)
    releases, cdk = (
        Releases(stack),
        Cdk({**os.environ, **empty_aws.environment, **FOR_THIS_MACHINE}, folder=tmp_path),
    )
    for behaviour, version in (("good", "2"), ("wrong", "2")):
        context = {"release": f"{behaviour}-after-{version}", "behaviour": behaviour}
        with cdk.synthesizing("canary-alias", context) as synth:
            synth.finish()
        if behaviour == "wrong":
            with pytest.raises(CdkError, match="BeforeAllowTraffic"):
                cdk.deploy("canary-alias")
        else:
            cdk.deploy("canary-alias")
        assert list(releases.callers.shares()) == [version]
