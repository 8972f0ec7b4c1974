"""Scheduled runs, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import Outcome

pytestmark = pytest.mark.local


def test_each_scheduled_time_has_one_report_and_a_failed_run_is_reported(outcome: Outcome) -> None:
    facts = outcome.facts
    assert (facts["first run"], facts["outcomes of one scheduled time"]) == ("done", "done, duplicate")
    assert facts["attempts of the failed run"] == 3


def test_runs_do_not_overlap_and_crashes_throttles_and_lost_permissions_lose_none(drilled: Outcome) -> None:
    facts = drilled.facts
    assert (facts["second of two runs"], facts["run after a crash"]) == ("done", "done")
    assert facts["throttled run"] == "done"
    assert (facts["error of the refused run"], facts["retries of the refused run"]) == (
        "AccessDeniedException",
        1,
    )
    assert (facts["redriven"], facts["redriven run"]) == (1, "done")
