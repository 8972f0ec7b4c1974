"""Rows of objects that were there before, deployed with the real CDK CLI, driven by jobs, under IAM."""

from __future__ import annotations

import json
import re
from contextlib import closing
from pathlib import Path

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack, Outcome
from scenarios.storage.batch_operation import OBJECTS
from scenarios.storage.batch_operation.jobs import Backfill
from stacks.catalogue import find
from tests.contracts import aws_cli, curl

pytestmark = pytest.mark.local


def test_each_object_has_its_row_and_a_line_in_the_report(outcome: Outcome) -> None:
    assert outcome.facts == {
        "tasks": OBJECTS + 1,
        "succeeded": OBJECTS,
        "failed": 1,
        "rows": OBJECTS,
        "generated": 11,
    }


def test_a_job_of_the_failed_lines_makes_up_for_crashes_and_a_missing_permission(drilled: Outcome) -> None:
    assert drilled.facts == {"crashed": 2, "denied": 8, "resumed": 8, "rows": 8}


@pytest.mark.full
def test_two_thousand_objects_have_their_rows_although_the_function_dies_in_the_middle(
    stack: DeployedStack,
) -> None:
    with closing(Backfill(stack)) as backfill:
        keys = set(backfill.upload(f"many/{number}.jpg" for number in range(2_000)))
        gone = {f"{backfill.run_id}/gone/{number}.jpg" for number in range(100)}
        with stack.faults.function(backfill.function, killed=True, times=50):
            report = backfill.ran(backfill.manifest(sorted(keys | gone)))
        assert set(report) == keys | gone
        failed = {key for key, line in report.items() if line.task_status == "failed"}
        assert 100 <= len(failed) <= 150
        again = backfill.ran(backfill.manifest(sorted(failed)))
        assert {key for key, line in again.items() if line.task_status == "failed"} == gone
        assert backfill.check_rows() == len(keys)


@pytest.mark.full
def test_the_aws_cli_creates_a_job_by_the_command_on_the_page(
    stack: DeployedStack, local_aws: LocalAws, tmp_path: Path
) -> None:
    aws_cli.install()
    row = find("batch-operation")
    page = (aws_cli.ROOT / "docs" / row.family / f"{row.id}.md").read_text("utf-8")
    (block,) = re.findall(r"^```\n(aws s3control create-job .*?)^```$", page, re.M | re.S)
    with closing(Backfill(stack)) as backfill:
        job = json.loads(curl.run(block, stack.outputs, local_aws, tmp_path))["JobId"]
        assert backfill.wait(job)["ProgressSummary"]["NumberOfTasksFailed"] == 0
