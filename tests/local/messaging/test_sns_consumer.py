"""Notices, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

from contextlib import closing

import pytest

from scenarios.framework import DeployedStack, Outcome
from scenarios.messaging.sns_consumer.notices import Notices
from scenarios.support.faults import Faults
from tasks import redrive

pytestmark = pytest.mark.local


def test_each_consumer_stores_what_its_filter_lets_pass(outcome: Outcome) -> None:
    facts = outcome.facts
    assert (facts["Urgent stored"], facts["Large stored"], facts["attempts of the bad notice"]) == (2, 2, 3)


def test_each_way_to_fail_has_its_queue_and_its_permission(drilled: Outcome) -> None:
    facts = drilled.facts
    assert (facts["undelivered"], facts["failed"], facts["redriven"]) == (1, 1, 2)
    assert facts["refused uploads"] == 1
    assert facts["without the permission of the topic"] == "AuthorizationError"


def test_the_task_redrive_sends_what_sns_could_not_deliver(stack: DeployedStack, faults: Faults) -> None:
    with closing(Notices(stack)) as notices:
        with faults.not_admitting(stack.output("LargeFunctionName"), "sns.amazonaws.com"):
            lost = notices.publish(severity="low", cents=5000)
            notices.undelivered["Large"].wait_for(1)
        notices.undelivered["Large"].release()
        assert redrive.run(stack, limit=10, dry_run=False).resent == 1
        notices.wait_for("Large", lost)
