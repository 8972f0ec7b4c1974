"""Delivers batches of brokers, and, where the machine has a RabbitMQ, messages of a real queue.

The embedded AWS has brokers as records only. So batches are delivered as Lambda's poller delivers them, with
the function's role. With a RabbitMQ the messages, redeliveries and dead letters are real, and this scenario
plays only the part of the poller.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, ScenarioFailed, Story, require
from scenarios.messaging.mq_consumer import rabbitmq
from scenarios.messaging.mq_consumer.entries import Entries
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
        server = rabbitmq.program()
        if stack.deliver_as is None:
            story.say("Not shown: the broker. It is private, so a program in its network has to publish.")
        elif server is None:
            story.say(f"Not shown: a real queue. There is no RabbitMQ here: {rabbitmq.HOW_TO_INSTALL}.")
        else:
            _read_real_queue(entries, server, story)
    return story.outcome()


def _deliver_documented_batches(entries: Entries, story: Story) -> None:
    bodies = [entries.body("r1"), entries.body("r2")]
    require(not entries.deliver(entries.rabbitmq(*bodies)), "a batch of RabbitMQ failed")
    require(not entries.deliver(entries.activemq(entries.body("a1"), entries.body("a2"))), "ActiveMQ failed")
    booked = ["r1", "r2", "a1", "a2"]
    entries.check(booked)
    story.say("A batch of RabbitMQ and one of ActiveMQ: their four entries are in the ledger.")
    error = entries.deliver(entries.rabbitmq("no JSON", entries.body("r3")))
    require("1 of 2 messages" in str(error), f"the function said {error}")
    entries.check([*booked, "r3"])
    again = entries.deliver(entries.rabbitmq(*bodies, entries.body("r3"), redelivered=True))
    require(not again, f"a batch that came again failed: {again}")
    entries.check([*booked, "r3"])
    story.fact("entries in documented batches", 5)
    story.say("A batch with a bad message fails as a whole, after its good one was booked.")
    story.say("Messages that come again change nothing: each entry is booked once.")


def _read_real_queue(entries: Entries, server: str, story: Story) -> None:
    secret = entries.stack.client("secretsmanager").get_secret_value(SecretId=entries.secret)
    login = json.loads(secret["SecretString"])
    outcomes: list[str | None] = []

    def invoke(messages_by_queue: dict[str, Any]) -> bool:
        outcomes.append(entries.deliver(entries.event(messages_by_queue)))
        return outcomes[-1] is None

    with rabbitmq.running(server, login["username"], login["password"]) as connection:
        story.say("Started a RabbitMQ on this machine, with the user in the secret.")
        queue = rabbitmq.Queue(connection, entries.queue, entries.virtual_host)
        names = [f"q{number}" for number in range(GOOD)]
        for name in (*names[:2], POISON, *names[2:]):
            queue.publish(entries.body(name) if name != POISON else "no JSON", name)
        with story.timed("read the queue"):
            while queue.poll(entries.batch_size, entries.window, invoke):
                pass
        dead = queue.dead_letters()
    failed = [error for error in outcomes if error]
    entries.check(["r1", "r2", "r3", "a1", "a2", *names])
    require(len(failed) == rabbitmq.DELIVERY_LIMIT + 1, f"{len(failed)} batches failed: {failed}")
    require(dead.get(POISON) == "delivery_limit", f"the dead letters are {dead}")
    story.fact("entries in the real queue", GOOD)
    story.fact("attempts of the poison message", len(failed))
    story.say(f"Published {GOOD} entries and a poison message. The batch with it came {len(failed)} times.")
    others = len(dead) - 1
    story.say(
        f"Then the dead-letter exchange got it, and {others} others of its batch: they had been booked."
    )


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Kill the function, take permissions away from it and the poller: the batch comes again, and is booked.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("A batch that comes again", stack.tell)
    with closing(Entries(stack)) as entries:
        batch = entries.rabbitmq(*map(entries.body, ("d1", "d2", "d3")))
        with stack.faults.function(entries.function, killed=True, after_running=True, times=1):
            require(bool(entries.deliver(batch)), "a killed function succeeded")
        entries.check(["d1", "d2", "d3"])
        require(not entries.deliver(batch), "the batch failed again")
        entries.check(["d1", "d2", "d3"])
        story.say(
            "The function was killed after its work: the batch came again, and nothing was booked twice."
        )
        role, stopped = faults.role_of(entries.function), 0
        late = entries.rabbitmq(entries.body("d4"))
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
    """Exercise each permission of the role once: those of the pollers, and those of the function.

    Raises:
        ScenarioFailed: The batch was not booked.
    """
    with closing(Entries(stack)) as entries:
        error = entries.deliver(entries.rabbitmq(entries.body("s1")))
        require(not error, f"the function said {error}")
        entries.check(["s1"])


EVENT = BilledEvent("an entry, in a batch of one", smoke)

ROLES = (Covered(role_of="FunctionName", scenario=smoke),)


def leftovers(stack: DeployedStack) -> Sequence[str]:
    """Return what is in the ledger."""
    return left.in_tables(stack)
