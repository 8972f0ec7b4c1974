"""Event-sourced orders: the bridge preserves order, the store has no gap, the read model is its fold."""

import base64
import json
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from messaging.sns_fifo_fanout.orders import NotAnEvent, OrderEvent
from tests.handlers.importing import import_handler

CONTEXT = SimpleNamespace(function_name="f")
ENVIRONMENT = {
    "TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:orders.fifo",
    "STORE_TABLE": "store",
    "STATUS_TABLE": "status",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
KEYS = {"store": [("order_id", "S"), ("version", "N")], "status": [("order_id", "S")]}
STATUS = {
    "OrderPlaced": "placed",
    "OrderPaid": "paid",
    "OrderShipped": "shipped",
    "OrderRefunded": "refunded",
}
TYPES = (*STATUS, "OrderNoted")
Event = dict[str, Any]


class Subscribers:
    """The functions of the subscribers, and their tables."""

    def __init__(self, tables: dict[str, Any], module: ModuleType) -> None:
        self.tables, self.module = tables, module

    def empty(self, *names: str) -> None:
        """Delete all items of these tables; of both if none is named."""
        for name in names or KEYS:
            for item in self.tables[name].scan()["Items"]:
                self.tables[name].delete_item(Key={key: item[key] for key, _ in KEYS[name]})

    def deliver(self, subscriber: str, events: Sequence[Event]) -> list[str]:
        """Deliver messages to a subscriber, and return those that it reports as failed."""
        records = [message(event) for event in events]
        answer = getattr(self.module, subscriber)({"Records": records}, CONTEXT)
        return [one["itemIdentifier"] for one in answer["batchItemFailures"]]

    def status(self) -> dict[str, tuple[str, int]]:
        """Return the read model."""
        items = self.tables["status"].scan()["Items"]
        return {item["order_id"]: (item["status"], int(item["version"])) for item in items}


@pytest.fixture(scope="module")
def tables() -> Iterator[dict[str, Any]]:
    """The tables of the event store and of the read model."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        dynamodb = boto3.resource("dynamodb", region_name="eu-west-1")
        yield {
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


@pytest.fixture(scope="module")
def subscribers(tables: dict[str, Any]) -> Subscribers:
    return Subscribers(tables, import_handler("messaging.sns_fifo_fanout.subscribers", ENVIRONMENT))


@pytest.fixture(scope="module")
def bridge(tables: object) -> ModuleType:
    """The module of the bridge's handler."""
    return import_handler("messaging.sns_fifo_fanout.handler", ENVIRONMENT)


@pytest.fixture(autouse=True)
def _empty(subscribers: Subscribers) -> None:
    subscribers.empty()


def event(order: str, version: int, type: str = "OrderPlaced", **more: object) -> Event:
    return {"event_id": f"{order}-{version}", "order_id": order, "version": version, "type": type, **more}


def message(body: Event) -> dict[str, Any]:
    """Make a message as Lambda delivers it; its id is the event's."""
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


def test_an_event_is_appended_once(subscribers: Subscribers) -> None:
    assert subscribers.deliver("append", [event("a", 1), event("a", 1), event("a", 2)]) == []
    assert subscribers.deliver("append", [event("a", 1)]) == []
    assert len(subscribers.tables["store"].scan()["Items"]) == 2


def test_an_event_before_its_predecessor_fails_with_the_later_ones_of_its_group(
    subscribers: Subscribers,
) -> None:
    batch = [event("a", 2), event("b", 1), event("a", 1)]
    assert subscribers.deliver("append", batch) == ["a-2", "a-1"]
    assert subscribers.deliver("append", [event("a", 1), event("a", 2)]) == []


def test_another_event_with_the_same_version_is_refused(subscribers: Subscribers) -> None:
    subscribers.deliver("append", [event("a", 1)])
    assert subscribers.deliver("append", [event("a", 1, event_id="other")]) == ["other"]
    [item] = subscribers.tables["store"].scan()["Items"]
    assert item["event_id"] == "a-1"


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": ""},
        {"event_id": "e" * 101},
        {"order_id": 7},
        {"version": 0},
        {"version": True},
        {"version": 1.5},
        {"version": 10**6 + 1},
        {"type": "OrderEaten"},
        {"type": ["OrderPaid"]},
        {"unknown": 1},
    ],
)
def test_a_body_that_is_not_an_event_is_refused(change: Event) -> None:
    with pytest.raises(NotAnEvent):
        OrderEvent.parse(json.dumps(event("a", 1) | change))


@pytest.mark.parametrize("body", ["", "{", "[]", "7", "{}"])
def test_a_body_without_the_fields_of_an_event_is_refused(body: str) -> None:
    with pytest.raises(NotAnEvent, match="the body is not an event"):
        OrderEvent.parse(body)


# --- The read model


def test_a_late_event_rebuilds_the_status_of_its_order_from_the_store(subscribers: Subscribers) -> None:
    life = [event("a", 1), event("a", 2, "OrderPaid"), event("a", 3, "OrderShipped")]
    assert subscribers.deliver("project", [life[0], life[2]]) == []
    assert subscribers.deliver("project", [life[1]]) == ["a-2"]  # the store is still empty
    subscribers.deliver("append", life)
    assert subscribers.deliver("project", [life[1]]) == []
    assert subscribers.status() == {"a": ("shipped", 3)}


LIVES = st.lists(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=20)
@given(LIVES, st.integers(0, 2**32))
def test_the_read_model_is_the_fold_whatever_fails_arrives_twice_or_late(
    subscribers: Subscribers, lives: list[list[str]], seed: int
) -> None:
    """Each subscriber has a queue, in order per group; what fails is set aside, and redriven later."""
    subscribers.empty()
    chance = random.Random(seed)
    events = [
        event(f"order{number}", version, kind)
        for number, life in enumerate(lives)
        for version, kind in enumerate(life, 1)
    ]
    wanted: dict[str, Callable[[Event], bool]] = {
        "append": lambda _: True,
        "project": lambda one: one["type"] != "OrderNoted",
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
            aside[name] += batch  # the whole function fails, until its messages are dead letters
            continue
        failed = subscribers.deliver(name, batch)
        aside[name] += [one for one in batch if one["event_id"] in failed]
        if chance.random() < 0.3:
            queues[name].extendleft(reversed(batch))  # and all of it is delivered again
    assert not any(queues.values())
    assert not any(aside.values())

    expected = {
        one["order_id"]: (STATUS[one["type"]], one["version"]) for one in events if one["type"] in STATUS
    }
    assert len(subscribers.tables["store"].scan()["Items"]) == len(events)
    assert subscribers.status() == expected

    subscribers.empty("status")
    assert subscribers.module.project({"rebuild": True}, CONTEXT) == {"rebuilt": len(lives)}
    assert {order: status for order, status in subscribers.status().items() if status[1]} == expected


# --- The bridge


class Topic:
    """SNS, which rejects these deduplication ids once for each time that they are listed."""

    def __init__(self, rejected: Sequence[str] = ()) -> None:
        self.published: list[tuple[str, str]] = []
        self.batches: list[int] = []
        self._rejected = list(rejected)

    def publish_batch(self, *, TopicArn: str, PublishBatchRequestEntries: Sequence[Event]) -> Event:  # noqa: N803
        """Publish what is not rejected, unless its id was published before."""
        assert TopicArn == ENVIRONMENT["TOPIC_ARN"]
        self.batches.append(len(PublishBatchRequestEntries))
        failed = []
        for entry in PublishBatchRequestEntries:
            if entry["MessageDeduplicationId"] in self._rejected:
                self._rejected.remove(entry["MessageDeduplicationId"])
                failed.append({"Id": entry["Id"], "Code": "InternalError"})
            elif entry["MessageDeduplicationId"] not in [number for _, number in self.published]:
                self.published.append((entry["MessageGroupId"], entry["MessageDeduplicationId"]))
        return {"Failed": failed}


def record(number: int, group: str, data: bytes = b'{"type": "OrderPaid"}') -> dict[str, Any]:
    """Make a record as Lambda delivers it."""
    return {
        "kinesis": {
            "partitionKey": group,
            "sequenceNumber": str(number),
            "data": base64.b64encode(data).decode(),
        }
    }


def publish(
    bridge: ModuleType, monkeypatch: pytest.MonkeyPatch, topic: Topic, records: Sequence[Event]
) -> list[str]:
    """Deliver records to the bridge, and return the first one that it reports as failed."""
    monkeypatch.setattr(bridge, "client", topic)
    answer = bridge.handler({"Records": records}, CONTEXT)
    return [one["itemIdentifier"] for one in answer["batchItemFailures"]]


def test_no_batch_contains_two_messages_of_a_group(
    bridge: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic()
    records = [record(number, group) for number, group in enumerate("aaab" + "cdefghijklm")]
    assert publish(bridge, monkeypatch, topic, records) == []
    assert topic.batches == [10, 4, 1]
    assert [number for group, number in topic.published if group == "a"] == ["0", "1", "2"]


def test_a_rejected_message_holds_back_only_its_own_group_until_the_retry(
    bridge: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic(rejected=["1"])
    records = [record(number, group) for number, group in enumerate("abab")]
    assert publish(bridge, monkeypatch, topic, records) == ["1"]
    assert topic.published == [("a", "0"), ("a", "2")]
    assert publish(bridge, monkeypatch, topic, records[1:]) == []
    assert topic.published == [("a", "0"), ("a", "2"), ("b", "1"), ("b", "3")]


def test_a_record_that_is_not_an_event_stops_the_batch_or_raises_if_it_is_the_first(
    bridge: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = Topic()
    good, bad = record(1, "a"), record(2, "b", b"\xff")
    assert publish(bridge, monkeypatch, topic, [good, bad, record(3, "a")]) == ["2"]
    assert topic.published == [("a", "1")]
    with pytest.raises(ValueError, match="codec"):
        publish(bridge, monkeypatch, topic, [bad, good])
    assert publish(bridge, monkeypatch, topic, [record(4, "b", b"[]")]) == ["4"]


@given(st.lists(st.sampled_from("abc"), max_size=30), st.integers(0, 2**32))
def test_each_group_is_published_in_order_and_once_whatever_sns_rejects(
    bridge: ModuleType, groups: list[str], seed: int
) -> None:
    chance = random.Random(seed)
    records = [record(number, group) for number, group in enumerate(groups)]
    topic = Topic(rejected=[str(number) for number in range(len(groups)) for _ in range(chance.randrange(3))])
    with pytest.MonkeyPatch.context() as patch:
        while records:
            failed = publish(bridge, patch, topic, records)
            if not failed:
                break
            numbers = [one["kinesis"]["sequenceNumber"] for one in records]
            records = records[numbers.index(failed[0]) :]
    for group in "abc":
        expected = [str(number) for number, one in enumerate(groups) if one == group]
        assert [number for one, number in topic.published if one == group] == expected
