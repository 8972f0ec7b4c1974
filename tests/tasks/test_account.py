"""If a stack in the user's account cannot be used, the error says why and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
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
        "AWS_MAX_ATTEMPTS",
        "AWS_RETRY_MODE",
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


def test_the_region_is_that_of_the_cdk_and_the_aws_cli(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-3")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws(), pytest.raises(TaskError, match="not found in region eu-west-3"):
        find_stack("thumbnailer")


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("AWS_ENDPOINT_URL", "localhost"),
        ("AWS_MAX_ATTEMPTS", "often"),
        ("AWS_REGION", "eu west"),
        ("AWS_RETRY_MODE", "never"),
    ],
)
def test_a_malformed_variable_is_an_error_in_a_sentence(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(TaskError, match=r"^AWS could not be asked for the stack thumbnailer: "):
        find_stack("thumbnailer")


def test_a_program_for_credentials_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    (tmp_path / "config").write_text("[default]\ncredential_process = /missing/program\n")
    with pytest.raises(TaskError, match="/missing/program"):
        find_stack("thumbnailer")


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/self/results"])
def test_a_folder_for_results_that_cannot_be_written_is_named_before_anything_is_sent(
    folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert verify.main(["thumbnailer", "--out", str(tmp_path / folder)]) == 1
    assert f"The results cannot be written to the folder {tmp_path / folder}" in capsys.readouterr().err


@pytest.mark.usefixtures("account")
def test_what_aws_refuses_while_a_queue_is_read_is_reported_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "not yours"}}, "ReceiveMessage")

    outputs = {"FunctionName": {"Value": "f"}, "FailureQueueUrl": {"Value": "https://q"}}
    template = {"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}, "Outputs": outputs}
    boto3.client("cloudformation").create_stack(StackName="thumbnailer", TemplateBody=json.dumps(template))
    monkeypatch.setattr(redrive, "redrive", refuse)
    assert redrive.main(["thumbnailer"]) == 1
    assert "run.py redrive: An error occurred (AccessDenied)" in capsys.readouterr().err


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
    template = {
        "Resources": {"Queue": {"Type": "AWS::SQS::Queue"}},
        "Outputs": {"FunctionName": {"Value": "lines"}},
    }
    boto3.client("cloudformation").create_stack(StackName="bare", TemplateBody=json.dumps(template))
    assert redrive.main(["thumbnailer", "--stack", "bare"]) == 1
    assert "no output FailureQueueUrl). See the failure modes" in capsys.readouterr().err
