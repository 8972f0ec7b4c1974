"""The thumbnailer, deployed with the real CDK CLI and driven with real events, IAM enforced."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import boto3
import pytest

from localaws import LocalAws
from scenarios.faults import Faults
from scenarios.framework import DeployedStack, ScenarioFailed
from scenarios.storage import thumbnailer
from scenarios.storage.pictures import PHOTOGRAPHS
from scenarios.storage.thumbnails import Thumbnailer
from tasks import redrive, verify
from tasks.demo import check_dropped
from tests.local.least_privilege import superfluous, try_without_each
from tests.local.least_privilege_at_deployment import superfluous_at_deployment

pytestmark = pytest.mark.local


def test_everything_that_the_template_asks_for_was_looked_at(
    stack: DeployedStack, local_aws: LocalAws
) -> None:
    check_dropped(local_aws.dropped_properties(), thumbnailer.ACCEPTED_NOT_EMULATED)


@pytest.fixture
def _as_a_user(stack: DeployedStack, local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own AWS configuration leads to the stack."""
    for name, value in local_aws.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.mark.usefixtures("_as_a_user")
def test_photographs_become_thumbnails_and_nothing_is_left_behind(
    stack: DeployedStack, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert verify.main(["thumbnailer", "--out", str(tmp_path)]) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert "OK: Photographs become thumbnails." in printed
    assert "Not run: the failure drill" in printed
    assert (tmp_path / "thumbnailer" / "contact-sheet.png").stat().st_size > 100_000
    assert len(list((tmp_path / "thumbnailer").glob("*.webp"))) == 3 * len(PHOTOGRAPHS)
    assert leftovers(stack) == []


def leftovers(stack: DeployedStack) -> list[str]:
    """What is in the buckets, in the table and in the queue."""
    s3, queue = stack.client("s3"), stack.output("FailureQueueUrl")
    versions = s3.list_object_versions(Bucket=stack.output("SourceBucketName"))
    thumbnails = s3.list_objects_v2(Bucket=stack.output("DestinationBucketName"))
    rows = stack.client("dynamodb").scan(TableName=stack.output("TableName"))
    messages = stack.client("sqs").receive_message(QueueUrl=queue, VisibilityTimeout=0)
    found = {
        "versions": versions.get("Versions", []),
        "delete markers": versions.get("DeleteMarkers", []),
        "thumbnails": thumbnails.get("Contents", []),
        "rows": rows["Items"],
        "messages": messages.get("Messages", []),
    }
    return [f"left behind: {kind}: {things}" for kind, things in found.items() if things]


def test_a_failure_is_kept_until_it_is_mended_and_redriven(stack: DeployedStack, faults: Faults) -> None:
    outcome = thumbnailer.drill(stack, faults)
    assert any("3 attempts" in line for line in outcome.story)
    assert leftovers(stack) == []


@pytest.mark.usefixtures("_as_a_user")
def test_redrive_tells_the_reasons_and_what_does_not_mend_itself_comes_back(
    stack: DeployedStack, capsys: pytest.CaptureFixture[str]
) -> None:
    with Thumbnailer(stack) as driver:
        driver.send(driver.prefix + "letter.jpg", b"no picture")
        driver.failures.wait_for(1)
        driver.failures.release()
        assert redrive.main(["thumbnailer"]) == 0
        assert "Sent again: 1.\n  1 x NotAnImage: " in capsys.readouterr().out
        driver.failures.wait_for(1)
    assert redrive.main(["thumbnailer"]) == 0
    assert "The failure queue is empty." in capsys.readouterr().out


def test_a_role_that_may_not_read_the_photographs_fails_the_scenario_with_access_denied(
    stack: DeployedStack, faults: Faults
) -> None:
    configuration = stack.client("lambda").get_function_configuration(
        FunctionName=stack.output("FunctionName")
    )
    role = configuration["Role"].rpartition("/")[2]
    with faults.without_permission(role, "s3:GetObject"), pytest.raises(ScenarioFailed, match="AccessDenied"):
        thumbnailer.run(stack)


@pytest.mark.parametrize("role_of", ["FunctionName"])
def test_the_role_needs_every_one_of_its_grants_and_a_planted_one_is_found(
    stack: DeployedStack, role_of: str
) -> None:
    findings = try_without_each(stack, stack.output(role_of), thumbnailer.smoke, plant="dynamodb:Scan")
    assert [grant.action for grant in superfluous(findings)] == ["dynamodb:Scan"]


@pytest.mark.full
def test_the_roles_of_the_deployment_need_every_one_of_their_grants(stack: DeployedStack) -> None:
    found, tried = superfluous_at_deployment(stack)
    assert found == []
    assert tried > 0


@pytest.mark.full
def test_the_demo_tells_the_story_and_comes_to_its_end() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.demo"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for line in ("Deployed with the CDK", "24 thumbnails came out", "3 attempts", "contact-sheet.png"):
        assert line in done.stdout
