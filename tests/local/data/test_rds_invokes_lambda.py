"""A database that invokes a function, deployed with the real CDK CLI onto the embedded AWS, IAM enforced."""

from __future__ import annotations

import pytest

from scenarios.framework import Outcome

pytestmark = pytest.mark.local


def test_a_rollback_undoes_the_order_and_not_the_invocation(outcome: Outcome) -> None:
    assert outcome.facts["phantom orders"] == 2
    assert outcome.facts["phantom orders of the outbox"] == 0


def test_what_cannot_be_invoked_rolls_back_and_the_outbox_keeps_its_message(drilled: Outcome) -> None:
    facts = drilled.facts
    lost = [facts[f"without {what}"] for what in ("role", "permission", "receiver")]
    assert lost == ["rolled back"] * 3
    assert facts["failed event"] == "in the failure queue"
    assert facts["time-out"] == "rolled back, and received"
