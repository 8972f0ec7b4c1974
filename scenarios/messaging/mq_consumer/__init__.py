"""Delivers batches of brokers, and, where the machine has RabbitMQ or ActiveMQ, messages of a real queue.

The embedded AWS has brokers as records only. So batches are delivered as Lambda's poller delivers them, with
the function's role. Where there is a real broker, it stands in for the record: the event source mapping of
the stack reads its queue, and the scenario only publishes.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from types import ModuleType
from typing import Any

from scenarios.framework import (
    BilledEvent,
    Covered,
    DeployedStack,
    NotYet,
    Outcome,
    ScenarioFailed,
    Story,
    require,
)
from scenarios.messaging.mq_consumer import activemq, rabbitmq
from scenarios.messaging.mq_consumer.entries import Entries, Source
from scenarios.support import leftovers as left
from scenarios.support.faults import Faults

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {
    "AWS::AmazonMQ::Broker.Logs": "The broker is a record; the scenario reads the log of no broker.",
}

POISON = "poison"
GOOD = 12


def run(stack: DeployedStack) -> Outcome:
    """Each entry is booked once, from either engine; a failed batch comes back, and poison leaves the queue.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("A ledger fed by a broker", stack.tell)
    with closing(Entries(stack)) as entries:
        _deliver_documented_batches(entries, story)
        if stack.with_broker is None:
            story.say("Not shown: the brokers. They are private: a program in their network has to publish.")
            return story.outcome()
        for engine, source in ((rabbitmq, entries.rabbitmq), (activemq, entries.activemq)):
            if engine.program() is None:
                story.say(f"Not shown: a real {engine.NAME}. There is none here: {engine.HOW_TO_INSTALL}.")
            else:
                _read_real_queue(entries, source, engine, story)
    return story.outcome()


def _deliver_documented_batches(entries: Entries, story: Story) -> None:
    bodies = [entries.body("r1"), entries.body("r2")]
    require(not entries.deliver(entries.rabbitmq_batch(*bodies)), "a batch of RabbitMQ failed")
    require(
        not entries.deliver(entries.activemq_batch(entries.body("a1"), entries.body("a2"))), "ActiveMQ failed"
    )
    booked = ["r1", "r2", "a1", "a2"]
    entries.check(booked)
    story.say("A batch of RabbitMQ and one of ActiveMQ: their four entries are in the ledger.")
    error = entries.deliver(entries.rabbitmq_batch("no JSON", entries.body("r3")))
    require("1 of 2 messages" in str(error), f"the function said {error}")
    entries.check([*booked, "r3"])
    again = entries.deliver(entries.rabbitmq_batch(*bodies, entries.body("r3"), redelivered=True))
    require(not again, f"a batch that came again failed: {again}")
    entries.check([*booked, "r3"])
    story.fact("entries in documented batches", 5)
    story.say("A batch with a bad message fails as a whole, after its good one was booked.")
    story.say("Messages that come again change nothing: each entry is booked once.")


def _read_real_queue(entries: Entries, source: Source, engine: ModuleType, story: Story) -> None:
    """Publish entries and a poison message into a queue of a real broker, and wait for the mapping."""
    stack, began = entries.stack, time.time()
    assert stack.with_broker is not None
    names = [f"{engine.NAME}-{number}" for number in range(GOOD)]
    before = entries.booked()
    with engine.running(engine.program(), *entries.login(source), source.queue) as queue:
        story.say(f"Started {engine.NAME} on this machine, with the user in the secret of its mapping.")
        for name in (*names[:2], POISON, *names[2:]):
            queue.publish(entries.body(name) if name != POISON else "no JSON", name)
        dead: set[str] = set()

        def is_read() -> None:
            dead.update(queue.dead_letters())
            if POISON not in dead or not set(names) <= set(entries.booked()):
                raise NotYet(f"booked are {entries.booked()}, and dead letters {dead}")

        with story.timed(f"read the queue of {engine.NAME}"), stack.with_broker(source.broker, queue.url):
            stack.wait_until(is_read, what=f"the queue of {engine.NAME}")
        dead |= queue.dead_letters()
    entries.check([*before, *names])
    attempts = entries.attempts(source, began)
    require(attempts == engine.REDELIVERIES + 1, f"the poison message came {attempts} times")
    story.fact(f"entries in the queue of {engine.NAME}", GOOD)
    story.fact(f"attempts of the poison message of {engine.NAME}", attempts)
    story.say(f"Published {GOOD} entries and a poison message. The batch with it came {attempts} times.")
    story.say(f"Then it was a dead letter, with {len(dead) - 1} others of its batch: they had been booked.")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Kill the function, take permissions away from it and the poller: the batch comes again, and is booked.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("A batch that comes again", stack.tell)
    with closing(Entries(stack)) as entries:
        batch = entries.rabbitmq_batch(*map(entries.body, ("d1", "d2", "d3")))
        with stack.faults.function(stack.output("FunctionName"), killed=True, after_running=True, times=1):
            require(bool(entries.deliver(batch)), "a killed function succeeded")
        entries.check(["d1", "d2", "d3"])
        require(not entries.deliver(batch), "the batch failed again")
        entries.check(["d1", "d2", "d3"])
        story.say(
            "The function was killed after its work: the batch came again, and nothing was booked twice."
        )
        role, stopped = faults.role_of(stack.output("FunctionName")), 0
        late = entries.rabbitmq_batch(entries.body("d4"))
        with faults.without_permission(role, "dynamodb:UpdateItem"):
            require(bool(entries.deliver(late)), "a function without a permission succeeded")
        for action in ("secretsmanager:GetSecretValue", "mq:DescribeBroker"):
            with faults.without_permission(role, action):
                stopped += _is_stopped(entries, late, action)
        entries.check(["d1", "d2", "d3"])
        story.say(
            "Without the secret or the broker's description nothing is read: messages wait in the queue."
        )
        require(not entries.deliver(late), "the batch failed although the permissions are back")
        entries.check(["d1", "d2", "d3", "d4"])
        story.fact("polls without a permission", stopped)
        story.fact("entries", 4)
        story.say("With the permissions back, the batch that had waited was booked.")
    return story.outcome()


def _is_stopped(entries: Entries, batch: dict[str, Any], action: str) -> bool:
    try:
        entries.deliver(batch)
    except ScenarioFailed as stopped:
        return action in str(stopped)
    return False


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of RabbitMQ's consumer once: those of the pollers, and those of the function.

    Raises:
        ScenarioFailed: The batch was not booked.
    """
    with closing(Entries(stack)) as entries:
        _book(entries, entries.rabbitmq_batch(entries.body("s1")))


def smoke_activemq(stack: DeployedStack) -> None:
    """Do the same for ActiveMQ's.

    Raises:
        ScenarioFailed: The batch was not booked.
    """
    with closing(Entries(stack)) as entries:
        _book(entries, entries.activemq_batch(entries.body("s1")))


def _book(entries: Entries, batch: dict[str, Any]) -> None:
    error = entries.deliver(batch)
    require(not error, f"the function said {error}")
    entries.check(["s1"])


EVENT = BilledEvent("an entry at the RabbitMQ broker, in a batch of one", smoke)

ROLES = (
    Covered(role_of="FunctionName", scenario=smoke),
    Covered(role_of="ActiveMqFunctionName", scenario=smoke_activemq),
)


def leftovers(stack: DeployedStack) -> Sequence[str]:
    """Return what is in the ledger."""
    return left.in_tables(stack)
