"""The thumbnailer, deployed with the real CDK CLI and driven with real events, IAM enforced."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import boto3
import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack, NotYet, Outcome, ScenarioFailed
from scenarios.storage import thumbnailer
from scenarios.storage.thumbnailer.driver import Thumbnailer
from scenarios.storage.thumbnailer.pictures import PHOTOGRAPHS, photograph
from scenarios.support.faults import Faults
from tasks import redrive, verify

pytestmark = pytest.mark.local


@pytest.fixture
def _as_a_user(stack: DeployedStack, local_aws: LocalAws, monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's own AWS configuration leads to the stack."""
    for name, value in local_aws.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.mark.usefixtures("_as_a_user")
def test_verify_runs_the_scenario_and_saves_the_thumbnails(
    stack: DeployedStack, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert verify.main(["thumbnailer", "--out", str(tmp_path)]) == 0, capsys.readouterr().err
    assert "Not run: the failure drill" in capsys.readouterr().out
    assert (tmp_path / "thumbnailer" / "contact-sheet.png").stat().st_size > 100_000
    assert len(list((tmp_path / "thumbnailer").glob("*.webp"))) == 3 * len(PHOTOGRAPHS)
    assert thumbnailer.leftovers(stack) == []


def test_failed_events_wait_in_the_queue_until_they_are_redriven(drilled: Outcome) -> None:
    assert drilled.facts == {
        "without permission": "RetriesExhausted after 3 attempts",
        "over the limit": "PermanentFailure",
        "redriven": 2,
        "failures left": 0,
    }


@pytest.mark.usefixtures("_as_a_user")
def test_redrive_prints_the_reasons_and_a_permanent_failure_returns_to_the_queue(
    stack: DeployedStack, capsys: pytest.CaptureFixture[str]
) -> None:
    with Thumbnailer(stack) as driver:
        driver.upload(driver.prefix + "letter.jpg", b"no picture")
        driver.failures.wait_for(1)
        driver.failures.release()
        assert redrive.main(["thumbnailer"]) == 0
        assert "Sent again: 1.\n  1 x NotAnImage: " in capsys.readouterr().out
        driver.failures.wait_for(1)
    assert redrive.main(["thumbnailer"]) == 0
    assert "The failure queue is empty." in capsys.readouterr().out


@pytest.mark.breaks
def test_a_role_that_may_not_read_the_photographs_fails_the_scenario_with_access_denied(
    stack: DeployedStack, faults: Faults
) -> None:
    configuration = stack.client("lambda").get_function_configuration(
        FunctionName=stack.output("FunctionName")
    )
    role = configuration["Role"].rpartition("/")[2]
    with faults.without_permission(role, "s3:GetObject"), pytest.raises(ScenarioFailed, match="AccessDenied"):
        thumbnailer.run(stack)


def test_an_archived_object_has_thumbnails_only_after_it_is_restored(stack: DeployedStack) -> None:
    s3, bucket = stack.client("s3"), stack.output("SourceBucketName")
    with Thumbnailer(stack) as driver:
        key = driver.prefix + "cat.webp"
        old = driver.wait_for_row(key, driver.upload(key, photograph("cat.webp")))
        archived = s3.put_object(
            Bucket=bucket, Key=key, Body=photograph("astronaut.avif"), StorageClass="GLACIER"
        )
        driver.wait_until_gone(key, old)
        [failed] = driver.failures.wait_for(1)
        assert failed.reason.startswith("ObjectArchived: ")
        s3.restore_object(
            Bucket=bucket, Key=key, RestoreRequest={"Days": 1, "GlacierJobParameters": {"Tier": "Standard"}}
        )
        stack.wait_until(partial(restored_row, driver, key, archived["VersionId"]), "the thumbnails")


def restored_row(driver: Thumbnailer, key: str, version: str) -> None:
    row = driver.row(key)
    if row is None or row["version_id"] != version:
        raise NotYet("no row")
    assert len(driver.thumbnails(row)) == len(driver.sizes)


@pytest.mark.parametrize(
    "name", ["a\x01b.webp", "a\nb.webp", "a\rb.webp", "a+b c%20d.webp", "ü.webp"], ids=ascii
)
def test_thumbnails_are_made_and_deleted_whatever_characters_a_key_has(
    stack: DeployedStack, name: str
) -> None:
    with Thumbnailer(stack) as driver:
        key = driver.prefix + name
        row = driver.wait_for_row(key, driver.upload(key, photograph("cat.webp")))
        assert len(driver.thumbnails(row)) == len(driver.sizes)
        stack.client("s3").delete_object(Bucket=stack.output("SourceBucketName"), Key=key)
        driver.wait_until_gone(key, row)
        assert driver.failures.poll() == []
    assert thumbnailer.leftovers(stack) == []


@pytest.mark.full
def test_the_demo_prints_the_story_and_succeeds() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tasks.demo"], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for line in ("Deployed with the CDK", "24 thumbnails were made", "3 attempts", "contact-sheet.png"):
        assert line in done.stdout
