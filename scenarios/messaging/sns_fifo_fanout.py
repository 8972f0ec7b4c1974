"""Sends events of orders through the stream, and checks one property of everything that results.

The property (`Orders.check`): the store holds each event once and without a gap, and the read model is its
fold. Duplicates, failures and redrives must not change it.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from scenarios.framework import (
    BilledEvent,
    Covered,
    DeployedStack,
    NotYet,
    Outcome,
    Story,
    require,
    wait_until,
)
from scenarios.support import leftovers as left
from scenarios.support.failure_queue import StreamFailures
from scenarios.support.faults import Faults
from scenarios.support.mixing import interleaved
from scenarios.support.queues import SourceQueue
from scenarios.support.streams import put_records

#: What the embedded AWS accepts but does not emulate, and why the scenario proves its point anyway.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

SUBSCRIBERS = ("Append", "ProjectStatus")
ORDERS = 8
_STATUS = {
    "OrderPlaced": "placed",
    "OrderPaid": "paid",
    "OrderShipped": "shipped",
    "OrderRefunded": "refunded",
}
_ENDINGS = (
    ["OrderShipped"],
    ["OrderNoted", "OrderShipped"],
    ["OrderRefunded"],
    ["OrderShipped", "OrderNoted"],
)


@dataclass(frozen=True)
class Event:
    """An event, as its sender makes it."""

    event_id: str
    order_id: str
    version: int
    type: str


def fold(events: Iterable[Event]) -> dict[str, tuple[str, int]]:
    """The expected status of each order, and the version it is from. The read model gets no notes."""
    status = {}
    for event in sorted(events, key=lambda event: event.version):
        if event.type in _STATUS:
            status[event.order_id] = (_STATUS[event.type], event.version)
    return status


class Orders:
    """The deployed stack, and the orders of this run in it."""

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid4().hex[:8]
        self.sent: list[Event] = []
        self.failures = StreamFailures(stack, stack.output("BridgeFailureQueueUrl"))
        self.queues = {
            name: SourceQueue(
                stack,
                stack.output(f"{name}QueueUrl"),
                stack.output(f"{name}DeadLetterQueueUrl"),
                mine=lambda body: self.run_id in body,
            )
            for name in SUBSCRIBERS
        }
        self.stack = stack
        self._dynamodb = stack.client("dynamodb")

    def order(self, name: object, chance: random.Random) -> list[Event]:
        """Make all events of an order."""
        types = ["OrderPlaced", *["OrderNoted"] * chance.randrange(3), "OrderPaid", *chance.choice(_ENDINGS)]
        return [
            Event(uuid4().hex, f"{self.run_id}-{name}", version, kind)
            for version, kind in enumerate(types, 1)
        ]

    def put(self, events: Sequence[Event]) -> None:
        """Put events into the stream in this order."""
        self.sent += events
        self.put_data([(event.order_id, json.dumps(asdict(event)).encode()) for event in events])

    def put_data(self, records: Sequence[tuple[str, bytes]]) -> None:
        """Put records into the stream in this order."""
        self.failures.add(put_records(self.stack, self.stack.output("StreamName"), records))

    def check(self) -> None:
        """Check the property that this architecture guarantees.

        Raises:
            NotYet: Something is still missing.
            ScenarioFailed: Something is wrong permanently.
        """
        expected = {(event.order_id, event.version): event.event_id for event in self.sent}
        stored = {
            (item["order_id"]["S"], int(item["version"]["N"])): item["event_id"]["S"]
            for item in self._items("Store")
        }
        unknown = stored.items() - expected.items()
        require(not unknown, f"the store holds events that were not sent: {unknown}")
        for order_id, version in stored:
            gap = version > 1 and (order_id, version - 1) not in stored
            require(not gap, f"order {order_id}: version {version} was stored before version {version - 1}")
        if len(stored) < len(expected):
            raise NotYet(f"the store holds {len(stored)} of {len(expected)} events")
        status = {
            item["order_id"]["S"]: (item["status"]["S"], int(item["version"]["N"]))
            for item in self._items("Status")
        }
        expected_status = fold(self.sent)
        wrong = {
            order: (status.get(order), expected_status.get(order))
            for order in expected_status.keys() | status.keys()
            if status.get(order) != expected_status.get(order)
        }
        if wrong:
            raise NotYet(f"the status of {len(wrong)} orders is wrong (is, should be): {wrong}")

    def wait(self) -> None:
        """Wait until the property holds."""
        self.stack.wait_until(self.check, "a read model that is the fold of the store")

    def wait_until_idle(self) -> None:
        """Wait until every queue is empty, duplicates included, and check that there are no dead letters."""
        for name, queue in self.queues.items():
            queue.wait_until_empty()
            require(not queue.dead_letters(), f"{name}: dead letters: {queue.dead_letters()}")

    def redrive_until_it_holds(self) -> int:
        """Redrive dead letters until the property holds, and return the number of redrives."""
        redrives = 0

        def check() -> None:
            nonlocal redrives
            for name, queue in self.queues.items():
                if letters := queue.dead_letters():
                    queue.redrive()
                    redrives += 1
                    raise NotYet(f"{name}: {len(letters)} dead letters")
            self.check()
            for name, queue in self.queues.items():
                if messages := queue.left():
                    raise NotYet(f"{name}: {messages} messages")

        patience = max(queue.patience for queue in self.queues.values())
        wait_until(check, what="the property after redrives", timeout=patience)
        return redrives

    def rebuild(self) -> None:
        """Replace the read model by an order that the store does not hold; let its function rebuild it."""
        self._delete("Status", ("order_id",))
        unknown = {
            "order_id": {"S": f"{self.run_id}-unknown"},
            "status": {"S": "paid"},
            "version": {"N": "2"},
        }
        self._dynamodb.put_item(TableName=self.stack.output("StatusTableName"), Item=unknown)
        request: dict[str, object] = {"rebuild": True}
        while True:
            answer = self.stack.client("lambda").invoke(
                FunctionName=self.stack.output("ProjectStatusFunctionName"), Payload=json.dumps(request)
            )
            result = json.loads(answer["Payload"].read())
            require("FunctionError" not in answer, f"the rebuild failed: {result}")
            if "after" not in result:
                break
            request["after"] = result["after"]
        self.check()

    def close(self) -> None:
        """Delete what this run left in tables and queues."""
        self._delete("Status", ("order_id",))
        self._delete("Store", ("order_id", "version"))
        for queue in self.queues.values():
            queue.close()
        self.failures.close()

    def _delete(self, table: str, key: Sequence[str]) -> None:
        for item in self._items(table):
            self._dynamodb.delete_item(
                TableName=self.stack.output(f"{table}TableName"), Key={name: item[name] for name in key}
            )

    def _items(self, table: str) -> list[dict[str, Any]]:
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self.stack.output(f"{table}TableName"), ConsistentRead=True
        )
        items = (item for page in pages for item in page["Items"])
        return [item for item in items if item["order_id"]["S"].startswith(self.run_id)]


def run(stack: DeployedStack) -> Outcome:
    """Send orders, some events twice and one too early: the read model is the fold, and can be rebuilt.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Event-sourced orders", stack.tell)
    chance = random.Random(22)
    with closing(Orders(stack)) as orders:
        with story.timed("projected"):
            events, duplicates = send_mixed(orders, ORDERS, chance)
            story.say(f"Put {events} events of {ORDERS} orders into the stream, {duplicates} of them twice.")
            orders.wait()
        story.fact("events", events)
        story.fact("duplicates", duplicates)
        story.say(
            "The store holds each event once, without a gap; the read model is its fold, without notes."
        )

        poison = send_among_poison(orders, chance)
        orders.wait()
        failures = orders.failures.wait_for(poison)
        require(len(failures) == poison, f"{poison} records of {len(failures)} failures were refused")
        require(all("payload" in one for one in failures), "a failure lacks the data of its record")
        story.fact("refused", poison)
        story.say(f"Sent {poison} records that SNS never accepts among good ones: each cost only itself.")

        first, second, third, *_ = orders.order("early", chance)
        orders.put([first, third])
        [letter] = orders.queues["Append"].wait_for_dead_letters(1)
        require(json.loads(letter)["version"] == 3, f"the dead letter should be version 3: {letter}")
        story.say("Sent an order's third event before its second: the store refused it, it is a dead letter.")
        orders.put([second])
        redrives = orders.redrive_until_it_holds()
        story.fact("redrives", redrives)
        story.say("Sent the second event and redrove the dead letters: store and read model are right.")

        orders.rebuild()
        story.say("Deleted the read model and rebuilt it from the store: it is the same.")
    return story.outcome()


def send_mixed(orders: Orders, count: int, chance: random.Random) -> tuple[int, int]:
    """Send this number of orders, mixed, and a tenth of the events again; return how many of both."""
    events = interleaved([orders.order(number, chance) for number in range(count)], chance)
    again = chance.sample(events, len(events) // 10)
    orders.put([*events, *again])
    return len(events), len(again)


def send_among_poison(orders: Orders, chance: random.Random) -> int:
    """Send two orders among records that can never be published; return how many of these there are."""
    too_large = json.dumps({"x": "x" * 300 * 1024}).encode()
    poison = [too_large, b"\xff", b'{"type": "\\ud800"}', b"[]", too_large]
    # The second order's id is no message group id.
    events = interleaved([orders.order(name, chance) for name in ("plain", "größe")], chance)
    records: list[tuple[str, bytes]] = []
    for number, event in enumerate(events):
        records += [(event.order_id, data) for data in poison[number : number + 1]]
        records.append((event.order_id, json.dumps(asdict(event)).encode()))
    orders.sent += events
    orders.put_data(records)
    return len(poison)


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Remove permissions of the subscribers in turn while events arrive; redrives repair everything.

    Raises:
        ScenarioFailed: The outcome is not the expected one.
    """
    story = Story("Failures change nothing in the end", stack.tell)
    with closing(Orders(stack)) as orders:
        count = send_during_failures(orders, faults, ORDERS, random.Random(23))
        story.say(f"Removed dynamodb:PutItem from the subscribers in turn while {count} events arrived.")
        redrives = orders.redrive_until_it_holds()
        for name, queue in orders.queues.items():
            require(not queue.dead_letters(), f"{name}: dead letters are left")
        story.fact("events", count)
        story.fact("redrives", redrives)
        story.say("Redrove the dead letters: the store holds each event once, the read model is its fold.")
    return story.outcome()


def send_during_failures(orders: Orders, faults: Faults, count: int, chance: random.Random) -> int:
    """Send orders in four parts while one or both subscribers may not write; return how many events."""
    for part in range(4):
        with ExitStack() as removed:
            for name in chance.sample(SUBSCRIBERS, chance.randrange(1, 3)):
                role = faults.role_of(orders.stack.output(f"{name}FunctionName"))
                removed.enter_context(faults.without_permission(role, "dynamodb:PutItem"))
            lives = [orders.order(f"{part}-{number}", chance) for number in range(count // 4)]
            orders.put(interleaved(lives, chance))
            time.sleep(chance.choice([0.2, 0.5, 1.0]))  # some events fail once, some become dead letters
    return len(orders.sent)


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission of the subscribers' roles once.

    Raises:
        ScenarioFailed: The property does not hold.
    """
    with closing(Orders(stack)) as orders:
        events = orders.order("smoke", random.Random(1))
        orders.put([*events, events[0]])
        orders.wait()
        orders.wait_until_idle()
        orders.rebuild()


def smoke_bridge(stack: DeployedStack) -> None:
    """Exercise each permission of the bridge's role once: publish a record, and report one that is refused.

    Raises:
        ScenarioFailed: One of them did not arrive.
    """
    with closing(Orders(stack)) as orders:
        orders.put(orders.order("smoke", random.Random(1))[:1])
        orders.put_data([(f"{orders.run_id}-none", b"not an event")])
        orders.wait()
        orders.wait_until_idle()
        orders.failures.wait_for(1)


def one_event(stack: DeployedStack) -> None:
    """Put the first event of an order into the stream."""
    with closing(Orders(stack)) as orders:
        orders.put(orders.order("event", random.Random(1))[:1])
        orders.wait()


#: SNS bills each delivery to a FIFO queue.
EVENT = BilledEvent("an event of an order, in batches of one", one_event, also={"SNS FIFO deliveries": 2})

ROLES = (
    *(Covered(role_of=f"{name}FunctionName", scenario=smoke) for name in SUBSCRIBERS),
    Covered(role_of="BridgeFunctionName", scenario=smoke_bridge, patience=30, takes_long=True),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return what is in the tables and in the queues."""
    return [*left.in_tables(stack), *left.in_queues(stack)]
