"""Reports and answers to jobs, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scenarios.events.pipeline_events import run
from scenarios.framework import DeployedStack, Outcome

pytestmark = pytest.mark.local


def test_each_change_is_reported_once_and_each_job_has_one_answer(outcome: Outcome) -> None:
    facts = outcome.facts
    assert (facts["reported"], facts["notifications about an event that came twice"]) == (7, 1)
    assert facts["attempts of a poison event"] == 3
    assert (facts["calls about four jobs"], facts["jobs of a long check"]) == (4, 3)
    assert facts["a job that does not exist"] == "JobNotFoundException"


def test_no_event_is_lost_and_no_job_hangs(drilled: Outcome) -> None:
    facts = drilled.facts
    assert (facts["redriven"], facts["failures that the reporter has reported"]) == (2, 3)
    assert facts["second answer to a job"] == "InvalidJobStateException"


def test_it_can_be_verified_in_an_account_where_only_codepipeline_sends_its_events(
    stack: DeployedStack,
) -> None:
    facts = run(replace(stack, deliver_as=None)).facts
    assert (facts["reported"], facts["a job that does not exist"]) == (7, "JobNotFoundException")
