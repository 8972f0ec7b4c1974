"""If a stack in the user's account cannot be used, the error says why and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from tasks import redrive, verify
from tasks.account import find_stack
from tasks.errors import TaskError


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_PROFILE",
        "AWS_DEFAULT_PROFILE",
        "AWS_DEFAULT_REGION",
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        yield


def test_without_a_region_it_says_how_to_set_one() -> None:
    with pytest.raises(TaskError, match="No AWS region is set: see `aws configure`"):
        find_stack("thumbnailer")


def test_without_credentials_it_says_how_to_set_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with pytest.raises(TaskError, match="No AWS credentials were found: see `aws configure`"):
        find_stack("thumbnailer")


def test_a_profile_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "missing")
    with pytest.raises(TaskError, match="missing"):
        find_stack("thumbnailer")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("task", [verify, redrive])
def test_a_stack_that_is_not_deployed_ends_the_task_with_how_to_deploy_it(
    task: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert task.main(["thumbnailer"]) == 1  # type: ignore[attr-defined]
    printed = capsys.readouterr().err
    assert "stack thumbnailer: not found in region eu-west-1" in printed
    assert "python3 run.py deploy thumbnailer" in printed


@pytest.mark.usefixtures("account")
def test_a_stack_without_a_failure_queue_has_nothing_to_redrive(capsys: pytest.CaptureFixture[str]) -> None:
    template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}
    boto3.client("cloudformation").create_stack(StackName="bare", TemplateBody=json.dumps(template))
    assert redrive.main(["thumbnailer", "--stack", "bare"]) == 1
    assert "has no output FunctionName, FailureQueueUrl" in capsys.readouterr().err
