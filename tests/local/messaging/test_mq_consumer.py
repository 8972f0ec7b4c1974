"""A consumer of a broker, deployed with the real CDK CLI; its queue is one of RabbitMQ, if there is one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from scenarios.framework import DeployedStack, Outcome
from scenarios.messaging.mq_consumer import GOOD, rabbitmq, run

pytestmark = pytest.mark.local


def test_documented_batches_of_both_engines_are_booked_once(outcome: Outcome) -> None:
    assert outcome.facts["entries in documented batches"] == 5


@pytest.mark.skipif(rabbitmq.program() is None, reason=f"no RabbitMQ: {rabbitmq.HOW_TO_INSTALL}")
def test_entries_of_a_real_queue_are_booked_and_its_poison_becomes_a_dead_letter(outcome: Outcome) -> None:
    assert outcome.facts["entries in the real queue"] == GOOD
    assert outcome.facts["attempts of the poison message"] == rabbitmq.DELIVERY_LIMIT + 1


def test_nothing_is_read_without_the_secret_and_a_crash_books_nothing_twice(drilled: Outcome) -> None:
    assert drilled.facts == {"polls without a permission": 2, "entries": 4}


@pytest.mark.parametrize("elsewhere", ["an account", "a machine without RabbitMQ"])
def test_where_no_broker_can_be_reached_documented_batches_are_booked(
    stack: DeployedStack, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rabbitmq, "program", lambda: None)
    outcome = run(replace(stack, deliver_as=None) if elsewhere == "an account" else stack)
    assert outcome.facts == {"entries in documented batches": 5}
    assert any(line.startswith("Not shown: ") for line in outcome.story)
