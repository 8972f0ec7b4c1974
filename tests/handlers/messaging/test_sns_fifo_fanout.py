"""Event-sourced orders: the bridge keeps the order, the store has no gap, the read models are its fold."""

import base64
import json
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

CONTEXT = SimpleNamespace(function_name="f")
ENVIRONMENT = {
    "TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:orders.fifo",
    "STORE_TABLE": "store",
    "STATUS_TABLE": "status",
    "REVENUE_TABLE": "revenue",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
KEYS = {
    "store": [("order_id", "S"), ("version", "N")],
    "status": [("order_id", "S")],
    "revenue": [("key", "S")],
}
TYPES = ("OrderPlaced", "OrderPaid", "OrderShipped", "OrderRefunded", "OrderNoted")
Event = dict[str, Any]


class World:
    """The tables, and the handlers that share them."""

    def __init__(self, tables: dict[str, Any], modules: Any) -> None:
        self.tables, self.modules = tables, modules

    def empty(self, *names: str) -> None:
        """Forget what tables hold; all of them unless some are named."""
        for name in names or KEYS:
            for item in self.tables[name].scan()["Items"]:
                self.tables[name].delete_item(Key={key: item[key] for key, _ in KEYS[name]})

    def deliver(self, subscriber: str, events: Sequence[Event]) -> list[str]:
        """Deliver messages to a subscriber; returns which it says have failed."""
        records = [message(event) for event in events]
        answer = getattr(self.modules.subscribers, subscriber)({"Records": records}, CONTEXT)
        return [one["itemIdentifier"] for one in answer["batchItemFailures"]]

    def status(self) -> dict[str, tuple[str, int]]:
        """The read model of orders."""
        items = self.tables["status"].scan()["Items"]
        return {item["order_id"]: (item["status"], int(item["version"])) for item in items}

    def revenue(self) -> dict[str, int]:
        """The read model of days, without those of nothing."""
        items = self.tables["revenue"].scan()["Items"]
        return {item["key"][4:]: int(item["cents"]) for item in items if item.get("cents")}


@pytest.fixture(scope="module")
def world(load: Callable[..., Any]) -> Iterator[World]:
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        dynamodb = boto3.resource("dynamodb", region_name="eu-west-1")
        tables = {
            name: dynamodb.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[
                    {"AttributeName": key, "KeyType": kind}
                    for (key, _), kind in zip(keys, ("HASH", "RANGE"), strict=False)
                ],
                AttributeDefinitions=[{"AttributeName": key, "AttributeType": type_} for key, type_ in keys],
            )
            for name, keys in KEYS.items()
        }
        yield World(tables, load("messaging", "sns-fifo-fanout", environment=ENVIRONMENT))


@pytest.fixture(autouse=True)
def _empty(world: World) -> None:
    world.empty()


def event(order: str, version: int, type: str = "OrderPlaced", **more: object) -> Event:
    return {
        "event_id": f"{order}-{version}",
        "order_id": order,
        "version": version,
        "type": type,
        "day": "2026-01-02",
        "cents": 0,
        **more,
    }


def message(body: Event) -> dict[str, Any]:
    """A message as Lambda delivers it; its id is the event's."""
    return {
        "messageId": body.get("event_id", "?"),
        "receiptHandle": "r",
        "body": json.dumps(body),
        "attributes": {"MessageGroupId": body.get("order_id", "?")},
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-west-1:123456789012:queue.fifo",
        "awsRegion": "eu-west-1",
    }


# --- The store


def test_an_event_is_appended_once(world: World) -> None:
    assert world.deliver("append", [event("a", 1), event("a", 1), event("a", 2)]) == []
    assert world.deliver("append", [event("a", 1)]) == []
    assert len(world.tables["store"].scan()["Items"]) == 2


def test_an_event_before_its_predecessor_is_refused_with_what_follows_in_its_group(world: World) -> None:
    batch = [event("a", 2), event("b", 1), event("a", 1)]
    assert world.deliver("append", batch) == ["a-2", "a-1"]
    assert world.deliver("append", [event("a", 1), event("a", 2)]) == []


def test_another_event_of_the_same_version_is_refused(world: World) -> None:
    world.deliver("append", [event("a", 1)])
    assert world.deliver("append", [event("a", 1, event_id="other")]) == ["other"]
    [item] = world.tables["store"].scan()["Items"]
    assert item["event_id"] == "a-1"


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": ""},
        {"order_id": 7},
        {"version": 0},
        {"version": True},
        {"type": "OrderEaten"},
        {"day": "tomorrow"},
        {"cents": -1},
        {"cents": 0.5},
        {"stranger": 1},
    ],
)
def test_what_is_no_event_fails(world: World, change: Event) -> None:
    with pytest.raises(world.modules.events.NotAnEvent):
        world.modules.events.OrderEvent.parse(json.dumps(event("a", 1) | change))


# --- The read models


def test_a_late_event_has_the_row_made_anew_from_the_store(world: World) -> None:
    life = [event("a", 1), event("a", 2, "OrderPaid"), event("a", 3, "OrderShipped")]
    assert world.deliver("project_status", [life[0], life[2]]) == []
    assert world.deliver("project_status", [life[1]]) == ["a-2"]  # the store has nothing yet
    world.deliver("append", life)
    assert world.deliver("project_status", [life[1]]) == []
    assert world.status() == {"a": ("shipped", 3)}


def test_revenue_counts_each_event_once(world: World) -> None:
    paid = [event("a", 2, "OrderPaid", cents=500), event("a", 3, "OrderRefunded", cents=200)]
    for _ in range(2):
        assert world.deliver("project_revenue", [*paid, paid[0]]) == []
    assert world.revenue() == {"2026-01-02": 300}


LIVES = st.lists(
    st.lists(
        st.tuples(st.sampled_from(TYPES), st.integers(0, 50), st.integers(1, 3)), min_size=1, max_size=4
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=20)
@given(LIVES, st.integers(0, 2**32))
def test_whatever_fails_comes_twice_or_late_the_read_models_are_the_fold(
    world: World, lives: list[list[tuple[str, int, int]]], seed: int
) -> None:
    """Each subscriber has a queue in order for each group; what fails twice goes aside, and is redriven."""
    world.empty()
    chance = random.Random(seed)
    events = [
        event(f"order{number}", version, kind, cents=cents, day=f"2026-01-0{day}")
        for number, life in enumerate(lives)
        for version, (kind, cents, day) in enumerate(life, 1)
    ]
    wanted: dict[str, Callable[[Event], bool]] = {
        "append": lambda _: True,
        "project_status": lambda one: one["type"] != "OrderNoted",
        "project_revenue": lambda one: one["type"] in ("OrderPaid", "OrderRefunded"),
    }
    queues = {name: deque(filter(wants, events)) for name, wants in wanted.items()}
    aside: dict[str, list[Event]] = defaultdict(list)
    for _ in range(1000):
        left = [name for name in queues if queues[name] or aside[name]]
        if not left:
            break
        name = chance.choice(left)
        if not queues[name]:  # a redrive, in order
            queues[name].extend(aside.pop(name))
        batch = [queues[name].popleft() for _ in range(min(len(queues[name]), chance.randrange(1, 4)))]
        if chance.random() < 0.3:
            aside[name] += batch  # the function fails altogether, until its messages are dead letters
            continue
        failed = world.deliver(name, batch)
        aside[name] += [one for one in batch if one["event_id"] in failed]
        if chance.random() < 0.3:
            queues[name].extendleft(reversed(batch))  # and all of it comes again
    assert not any(queues.values())
    assert not any(aside.values())

    expected_status = {}
    expected_revenue: dict[str, int] = defaultdict(int)
    words = {
        "OrderPlaced": "placed",
        "OrderPaid": "paid",
        "OrderShipped": "shipped",
        "OrderRefunded": "refunded",
    }
    for one in events:
        if one["type"] in words:
            expected_status[one["order_id"]] = (words[one["type"]], one["version"])
        sign = {"OrderPaid": 1, "OrderRefunded": -1}.get(one["type"], 0)
        expected_revenue[one["day"]] += sign * one["cents"]
    counted = {day: cents for day, cents in expected_revenue.items() if cents}
    assert len(world.tables["store"].scan()["Items"]) == len(events)
    assert (world.status(), world.revenue()) == (expected_status, counted)

    world.empty("status", "revenue")
    for name in ("project_status", "project_revenue"):
        assert "rebuilt" in getattr(world.modules.subscribers, name)({"rebuild": True}, CONTEXT)
    rebuilt = {order: row for order, row in world.status().items() if row[1]}
    assert (rebuilt, world.revenue()) == (expected_status, counted)


# --- The bridge


class Topic:
    """SNS, which refuses what it is told to."""

    def __init__(self, refused: Sequence[str] = ()) -> None:
        self.published: list[tuple[str, str]] = []
        self.batches: list[int] = []
        self._refused = list(refused)

    def publish_batch(self, *, TopicArn: str, PublishBatchRequestEntries: Sequence[Event]) -> Event:  # noqa: N803
        """Publish what is not refused, unless it is known."""
        assert TopicArn == ENVIRONMENT["TOPIC_ARN"]
        self.batches.append(len(PublishBatchRequestEntries))
        failed = []
        for entry in PublishBatchRequestEntries:
            if entry["MessageDeduplicationId"] in self._refused:
                self._refused.remove(entry["MessageDeduplicationId"])
                failed.append({"Id": entry["Id"], "Code": "InternalError"})
            elif entry["MessageDeduplicationId"] not in [number for _, number in self.published]:
                self.published.append((entry["MessageGroupId"], entry["MessageDeduplicationId"]))
        return {"Failed": failed}


def record(number: int, group: str, data: bytes = b'{"type": "OrderPaid"}') -> dict[str, Any]:
    """A record as Lambda delivers it."""
    return {
        "kinesis": {
            "partitionKey": group,
            "sequenceNumber": str(number),
            "data": base64.b64encode(data).decode(),
        }
    }


def publish(
    world: World, monkeypatch: pytest.MonkeyPatch, topic: Topic, records: Sequence[Event]
) -> list[str]:
    """Give records to the bridge; from where on it failed."""
    monkeypatch.setattr(world.modules.handler, "client", topic)
    answer = world.modules.handler.handler({"Records": records}, CONTEXT)
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def test_no_batch_holds_two_messages_of_a_group(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = Topic()
    records = [record(number, group) for number, group in enumerate("aaab" + "cdefghijklm")]
    assert publish(world, monkeypatch, topic, records) == []
    assert topic.batches == [10, 4, 1]
    assert [number for group, number in topic.published if group == "a"] == ["0", "1", "2"]


def test_a_refused_message_keeps_back_its_own_group_until_the_retry(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic(refused=["1"])
    records = [record(number, group) for number, group in enumerate("abab")]
    assert publish(world, monkeypatch, topic, records) == ["1"]
    assert topic.published == [("a", "0"), ("a", "2")]
    assert publish(world, monkeypatch, topic, records[1:]) == []
    assert topic.published == [("a", "0"), ("a", "2"), ("b", "1"), ("b", "3")]


def test_a_record_that_is_no_event_stops_there_or_raises_at_the_front(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic()
    good, bad = record(1, "a"), record(2, "b", b"\xff")
    assert publish(world, monkeypatch, topic, [good, bad, record(3, "a")]) == ["2"]
    assert topic.published == [("a", "1")]
    with pytest.raises(ValueError, match="codec"):
        publish(world, monkeypatch, topic, [bad, good])
    assert publish(world, monkeypatch, topic, [record(4, "b", b"[]")]) == ["4"]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(0, 2**32))
def test_whatever_is_refused_each_group_is_published_in_order_and_once(
    world: World, groups: list[str], seed: int
) -> None:
    chance = random.Random(seed)
    records = [record(number, group) for number, group in enumerate(groups)]
    topic = Topic(refused=[str(number) for number in range(len(groups)) for _ in range(chance.randrange(3))])
    with pytest.MonkeyPatch.context() as patch:
        while records:
            failed = publish(world, patch, topic, records)
            if not failed:
                break
            numbers = [one["kinesis"]["sequenceNumber"] for one in records]
            records = records[numbers.index(failed[0]) :]
    for group in "abc":
        expected = [str(number) for number, one in enumerate(groups) if one == group]
        assert [number for one, number in topic.published if one == group] == expected
