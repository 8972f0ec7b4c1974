"""Sends events of orders through the stream, and checks one property of everything that comes out.

The property: the store holds each event once and without a gap, and every read model is its fold.
`Orders.check` is that property; duplicates, shuffling, failures and redrives may not change it.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from scenarios.framework import DeployedStack, NotYet, Outcome, Story, require, wait_until
from scenarios.support.faults import Faults
from scenarios.support.queues import SourceQueue
from scenarios.support.stream_failures import StreamFailures

# What the embedded AWS accepts and does not do, and why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

SUBSCRIBERS = ("Append", "ProjectStatus", "ProjectRevenue")
ORDERS = 8
_STATUS = {
    "OrderPlaced": "placed",
    "OrderPaid": "paid",
    "OrderShipped": "shipped",
    "OrderRefunded": "refunded",
}


@dataclass(frozen=True)
class Event:
    """An event as its sender makes it."""

    event_id: str
    order_id: str
    version: int
    type: str
    day: str
    cents: int = 0


@dataclass(frozen=True)
class Expected:
    """The model: what the events make, each counted once."""

    events: frozenset[tuple[str, int, str]]
    status: Mapping[str, tuple[str, int]]
    revenue: Mapping[str, int]

    @classmethod
    def fold(cls, events: Sequence[Event]) -> Expected:
        """Fold the events in the order of their versions."""
        once = {event.event_id: event for event in events}.values()
        status: dict[str, tuple[str, int]] = {}
        revenue: Counter[str] = Counter()
        for event in sorted(once, key=lambda event: event.version):
            if event.type in _STATUS:
                status[event.order_id] = (_STATUS[event.type], event.version)
            revenue[event.day] += {"OrderPaid": 1, "OrderRefunded": -1}.get(event.type, 0) * event.cents
        return cls(
            frozenset((event.order_id, event.version, event.event_id) for event in once), status, revenue
        )


class Orders:
    """The deployed stack, and what is of this run in it."""

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid4().hex[:8]
        self.sent: list[Event] = []
        self._stack = stack
        self._dynamodb = stack.client("dynamodb")
        self.given_up = StreamFailures(stack, stack.output("BridgeFailureQueueUrl"))
        self._year = random.randrange(1000, 9000)
        self.queues = {
            name: SourceQueue(
                stack,
                stack.output(f"{name}QueueUrl"),
                stack.output(f"{name}DeadLetterQueueUrl"),
                mine=lambda body: self.run_id in body,
            )
            for name in SUBSCRIBERS
        }

    def order(self, name: object, chance: random.Random) -> list[Event]:
        """The life of an order: its events, in order."""
        kinds = ["OrderPlaced", *["OrderNoted"] * chance.randrange(3), "OrderPaid"]
        kinds += chance.choice([["OrderShipped"], ["OrderNoted", "OrderShipped"], ["OrderRefunded"]])
        order_id, cents = f"{self.run_id}-{name}", chance.randrange(1, 10_000)
        return [
            Event(
                event_id=uuid4().hex,
                order_id=order_id,
                version=version,
                type=kind,
                day=f"{self._year}-{chance.randrange(1, 13):02}-01",
                cents=cents if kind in ("OrderPaid", "OrderRefunded") else 0,
            )
            for version, kind in enumerate(kinds, 1)
        ]

    def put(self, events: Sequence[Event]) -> None:
        """Put events into the stream in this order."""
        self.sent += events
        self._put([(event.order_id, json.dumps(asdict(event)).encode()) for event in events])

    def put_no_event(self) -> None:
        """Put a record into the stream that is no event."""
        self._put([(f"{self.run_id}-none", b"no event")])

    def _put(self, records: Sequence[tuple[str, bytes]]) -> None:
        for start in range(0, len(records), 500):
            answer = self._stack.client("kinesis").put_records(
                StreamName=self._stack.output("StreamName"),
                Records=[{"PartitionKey": key, "Data": data} for key, data in records[start : start + 500]],
            )
            require(answer["FailedRecordCount"] == 0, f"Kinesis did not take all records: {answer}")
            self.given_up.add([record["SequenceNumber"] for record in answer["Records"]])

    def seen(self) -> Expected:
        """What store and read models hold of this run."""
        orders = {event.order_id for event in self.sent}
        store = [item for item in self._scan("Store") if item["order_id"]["S"] in orders]
        status = {
            item["order_id"]["S"]: (item["status"]["S"], int(item["version"]["N"]))
            for item in self._scan("Status")
            if item["order_id"]["S"] in orders
        }
        days = {f"day#{event.day}" for event in self.sent}
        revenue = {
            item["key"]["S"].removeprefix("day#"): int(item["cents"]["N"])
            for item in self._scan("Revenue")
            if item["key"]["S"] in days
        }
        events = frozenset(
            (item["order_id"]["S"], int(item["version"]["N"]), item["event_id"]["S"]) for item in store
        )
        return Expected(events, status, revenue)

    def check(self) -> None:
        """The property that this architecture is for.

        Raises:
            NotYet: Something is still missing.
            ScenarioFailed: Something is there that can never be right again.
        """
        expected, seen = Expected.fold(self.sent), self.seen()
        strangers = seen.events - expected.events
        require(not strangers, f"events in the store that nobody sent: {strangers}")
        for order_id, version, _ in seen.events:
            gap = version > 1 and not any(
                (one, number) == (order_id, version - 1) for one, number, _ in seen.events
            )
            require(not gap, f"order {order_id}: version {version} was stored before the one before it")
        if missing := expected.events - seen.events:
            raise NotYet(f"{len(missing)} of {len(expected.events)} events are not in the store")
        wrong = {
            key: seen.status.get(key) for key, is_ in expected.status.items() if seen.status.get(key) != is_
        }
        if wrong:
            raise NotYet(f"status of {len(wrong)} orders differ: {wrong}")
        counted = {day: cents for day, cents in expected.revenue.items() if cents}
        if counted != {day: cents for day, cents in seen.revenue.items() if cents}:
            raise NotYet(f"revenue is {seen.revenue}, should be {counted}")

    def wait(self) -> None:
        """Wait until the property holds."""
        self._stack.wait_until(self.check, "every read model is the fold of the store")

    def check_idle(self) -> None:
        """Nothing is on its way any more, that could still write when the run is over.

        Raises:
            NotYet: A queue holds messages.
        """
        for name, queue in self.queues.items():
            if left := queue.left():
                raise NotYet(f"{name}: {left} messages")

    def wait_until_idle(self) -> None:
        """Wait until every queue is empty, duplicates included, and see that nothing became a dead letter."""
        self._stack.wait_until(self.check_idle, "empty queues")
        letters = {name: found for name, queue in self.queues.items() if (found := queue.dead_letters())}
        require(not letters, f"dead letters: {letters}")

    def redrive_until_it_holds(self) -> int:
        """Redrive whatever is a dead letter until the property holds; returns how many redrives that took."""
        redrives = 0

        def check() -> None:
            nonlocal redrives
            for name, queue in self.queues.items():
                if letters := queue.dead_letters():
                    queue.redrive()
                    redrives += 1
                    raise NotYet(f"{name}: {len(letters)} dead letters")
            self.check()
            self.check_idle()

        patience = max(queue.patience for queue in self.queues.values())
        wait_until(check, what="the property after redrives", timeout=patience)
        return redrives

    def role(self, subscriber: str) -> str:
        """The role of a subscriber's function."""
        function = self._stack.client("lambda").get_function_configuration(
            FunctionName=self._stack.output(f"{subscriber}FunctionName")
        )
        role: str = function["Role"].rpartition("/")[2]
        return role

    def rebuild(self) -> None:
        """Throw the rows of the read models away, and let their functions make them anew from the store."""
        self._delete("Status", ("order_id",))
        self._delete("Revenue", ("key",))
        for name in ("ProjectStatus", "ProjectRevenue"):
            answer = self._stack.client("lambda").invoke(
                FunctionName=self._stack.output(f"{name}FunctionName"), Payload=json.dumps({"rebuild": True})
            )
            require(
                "FunctionError" not in answer, f"{name}: the rebuild failed: {answer['Payload'].read()!r}"
            )

    def close(self) -> None:
        """Delete what is of this run."""
        self._delete("Status", ("order_id",))
        self._delete("Revenue", ("key",))
        self._delete("Store", ("order_id", "version"))
        for queue in self.queues.values():
            queue.close()
        self.given_up.close()

    def _delete(self, table: str, key: Sequence[str]) -> None:
        mine = {event.order_id for event in self.sent}
        mine |= {f"day#{event.day}" for event in self.sent} | {
            f"event#{event.event_id}" for event in self.sent
        }
        for item in self._scan(table):
            if item[key[0]]["S"] in mine:
                self._dynamodb.delete_item(
                    TableName=self._stack.output(f"{table}TableName"), Key={name: item[name] for name in key}
                )

    def _scan(self, table: str) -> list[dict[str, Any]]:
        pages = self._dynamodb.get_paginator("scan").paginate(
            TableName=self._stack.output(f"{table}TableName"), ConsistentRead=True
        )
        return [item for page in pages for item in page["Items"]]


def run(stack: DeployedStack) -> Outcome:
    """Orders, some events twice and one out of order; read models that equal the fold, and can be rebuilt.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("Event-sourced orders", stack.tell)
    chance = random.Random(22)
    with closing(Orders(stack)) as orders:
        with story.timed("projected"):
            events = send_mixed(orders, ORDERS, chance)
            story.say(
                f"Put {len(events)} events of {ORDERS} orders into the stream, mixed, a tenth of them twice."
            )
            orders.wait()
        story.say("The store holds each once, without a gap; both read models are its fold.")
        _poison(orders, story, chance)
        orders.rebuild()
        orders.check()
        story.say("Threw both read models away and had them rebuilt from the store: they are the same.")
    return story.outcome()


def send_mixed(orders: Orders, count: int, chance: random.Random) -> list[Event]:
    """Send orders, mixed with each other, in order within each; a tenth of the events is sent again later."""
    lives = {number: iter(orders.order(number, chance)) for number in range(count)}
    events: list[Event] = []
    while lives:
        number = chance.choice(list(lives))
        event = next(lives[number], None)
        if event is None:
            del lives[number]
        else:
            events.append(event)
    orders.put(events + chance.sample(events, len(events) // 10))
    return events


def _poison(orders: Orders, story: Story, chance: random.Random) -> None:
    """An event that comes before its predecessor: the store must refuse it until that is there."""
    first, second, *rest = orders.order("poisoned", chance)
    third = rest[0]
    orders.put([first, third])
    [letter] = orders.queues["Append"].wait_for_dead_letters(1)
    require(
        json.loads(letter)["event_id"] == third.event_id, f"the dead letter should be version 3: {letter}"
    )
    story.say("Sent an order's third event before its second: the store refused it, it is a dead letter.")
    orders.put([second])
    redrives = orders.redrive_until_it_holds()
    story.say(f"Sent the second; {redrives} redrives of SQS later, store and read models are right.")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Every function loses permissions in turn while events flow; redrives make everything right.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("Failures change nothing in the end", stack.tell)
    with closing(Orders(stack)) as orders:
        count = prove(orders, faults, ORDERS, random.Random(23))
        story.say(f"Took dynamodb:PutItem from the three subscribers, by turns, while {count} events came.")
        redrives = orders.redrive_until_it_holds()
        left = {name: len(queue.dead_letters()) for name, queue in orders.queues.items()}
        require(not any(left.values()), f"dead letters are left: {left}")
        story.say(
            f"After {redrives} redrives the store holds each event once, and the read models are its fold."
        )
    return story.outcome()


def prove(orders: Orders, faults: Faults, count: int, chance: random.Random) -> int:
    """Send that many orders in four parts, each while another set of functions may not write."""
    sent = 0
    for part in range(4):
        with ExitStack() as stack:
            for name in chance.sample(SUBSCRIBERS, chance.randrange(1, 3)):
                stack.enter_context(faults.without_permission(orders.role(name), "dynamodb:PutItem"))
            lives = [orders.order(f"{part}-{number}", chance) for number in range(count // 4)]
            events = [
                event
                for step in range(max(map(len, lives)))
                for life in lives
                for event in life[step : step + 1]
            ]
            orders.put(events)
            sent += len(events)
            time.sleep(chance.choice([0.2, 0.5, 1.0]))  # some fail once, some until they are dead letters
    return sent


def smoke(stack: DeployedStack) -> None:
    """The shortest way past everything that the functions may do: for checks that repeat it often.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    with closing(Orders(stack)) as orders:
        first, second, *rest = orders.order("smoke", random.Random(1))
        orders.put([first, second, *rest, first])
        orders.wait()
        orders.wait_until_idle()
        orders.rebuild()
        orders.check()


def smoke_of_bridge(stack: DeployedStack) -> None:
    """The shortest way past everything that the bridge may do: it publishes one record and gives one up.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    with closing(Orders(stack)) as orders:
        [first, *_] = orders.order("smoke", random.Random(1))
        orders.put([first])
        orders.put_no_event()
        orders.wait()
        orders.given_up.wait(1)
