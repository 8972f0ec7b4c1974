"""A consumer of brokers, deployed with the real CDK CLI; its queues are real if the machine has brokers."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from types import ModuleType

import pytest

from scenarios.framework import DeployedStack, NotYet, Outcome
from scenarios.messaging.mq_consumer import GOOD, activemq, rabbitmq, run
from scenarios.messaging.mq_consumer.entries import Entries

pytestmark = pytest.mark.local


def test_documented_batches_of_both_engines_are_booked_once(outcome: Outcome) -> None:
    assert outcome.facts["entries in documented batches"] == 5


@pytest.mark.parametrize("engine", [rabbitmq, activemq])
def test_entries_of_a_real_queue_are_booked_and_its_poison_becomes_a_dead_letter(
    outcome: Outcome, engine: ModuleType
) -> None:
    if engine.program() is None:
        pytest.skip(f"no {engine.NAME}: {engine.HOW_TO_INSTALL}")
    assert outcome.facts[f"entries in the queue of {engine.NAME}"] == GOOD
    assert outcome.facts[f"attempts of the poison message of {engine.NAME}"] == engine.REDELIVERIES + 1


@pytest.mark.skipif(activemq.program() is None, reason=f"no ActiveMQ: {activemq.HOW_TO_INSTALL}")
def test_a_mapping_whose_secret_has_another_password_says_so_and_reads_nothing(stack: DeployedStack) -> None:
    with closing(Entries(stack)) as entries:
        source = entries.activemq
        user, _password = entries.login(source)
        client, mapping = stack.client("lambda"), stack.output("ActiveMqMappingId")
        assert stack.with_broker is not None
        with activemq.running(str(activemq.program()), user, "another password", source.queue) as queue:
            queue.publish(entries.body("unread"), "unread")
            with stack.with_broker(source.broker, queue.url):

                def refused() -> None:
                    reason = client.get_event_source_mapping(UUID=mapping).get("StateTransitionReason")
                    if reason != "EVENT_SOURCE_AUTHN_ERROR":
                        raise NotYet(f"the reason is {reason}")

                stack.wait_until(refused, what="the refusal of the broker")
        entries.check([])


def test_nothing_is_read_without_the_secret_and_a_crash_books_nothing_twice(drilled: Outcome) -> None:
    assert drilled.facts == {"polls without a permission": 2, "entries": 4}


@pytest.mark.parametrize("elsewhere", ["an account", "a machine without brokers"])
def test_where_no_broker_can_be_reached_documented_batches_are_booked(
    stack: DeployedStack, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for engine in (rabbitmq, activemq):
        monkeypatch.setattr(engine, "program", lambda: None)
    account = replace(stack, deliver_as=None, with_broker=None)
    outcome = run(account if elsewhere == "an account" else stack)
    assert outcome.facts == {"entries in documented batches": 5}
    assert any(line.startswith("Not shown: ") for line in outcome.story)
