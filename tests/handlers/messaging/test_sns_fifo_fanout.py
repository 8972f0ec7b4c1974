"""Event-sourced orders: the bridge preserves order, the store has no gap, the read model is its fold."""

import json
import random
import re
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from messaging.sns_fifo_fanout.messages import deduplication_id, group_id
from messaging.sns_fifo_fanout.orders import NotAnEvent, OrderEvent
from tests.handlers import records as aws
from tests.handlers.importing import import_handler

CONTEXT = SimpleNamespace(
    function_name="f",
    aws_request_id=aws.identifier("request"),
    invoked_function_arn="arn:aws:lambda:eu-west-1:123456789012:function:f",
    function_version="$LATEST",
    get_remaining_time_in_millis=lambda: 60_000,
)
ENVIRONMENT = {
    "TOPIC_ARN": "arn:aws:sns:eu-west-1:123456789012:orders.fifo",
    "STORE_TABLE": "store",
    "STATUS_TABLE": "status",
    "FAILURE_QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/123456789012/failures",
    "MAXIMUM_MESSAGE_SIZE": "262144",
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

    def rebuild(self) -> int:
        """Rebuild the read model, and return how many orders it has done."""
        count: int = self.module.project({"rebuild": True}, CONTEXT)["rebuilt"]
        return count

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
    module = import_handler("messaging.sns_fifo_fanout.subscribers", ENVIRONMENT)
    module._PATIENCE = 0.0  # type: ignore[attr-defined]
    return Subscribers(tables, module)


@pytest.fixture(scope="module")
def bridge_module(tables: object) -> ModuleType:
    """The module of the bridge's handler."""
    return import_handler("messaging.sns_fifo_fanout.handler", ENVIRONMENT)


@pytest.fixture(autouse=True)
def _empty(subscribers: Subscribers) -> None:
    subscribers.empty()


def event(order: str, version: int, type: str = "OrderPlaced", **more: object) -> Event:
    return {"event_id": f"{order}-{version}", "order_id": order, "version": version, "type": type, **more}


def message(body: Event) -> dict[str, Any]:
    """Make a message as Lambda delivers it; its id is the event's."""
    record = aws.sqs_record(
        body["event_id"], json.dumps(body), group=body["order_id"], number=body["version"]
    )
    return record | {"messageId": body["event_id"]}


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


@pytest.mark.parametrize("version", [1, 2])
def test_a_conflict_with_another_transaction_is_retried_within_the_invocation(
    subscribers: Subscribers, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    events = [event("a", number) for number in range(1, version + 1)]
    assert subscribers.deliver("append", events[:-1]) == []
    client, calls = subscribers.module.store._client, 0
    write = client.transact_write_items

    def conflicting(**arguments: Any) -> object:
        nonlocal calls
        calls += 1
        if calls > 2:
            return write(**arguments)
        reasons = [{"Code": "TransactionConflict"}, *[{"Code": "None"}] * (version - 1)]
        response: Any = {"Error": {"Code": "TransactionCanceledException"}, "CancellationReasons": reasons}
        raise client.exceptions.TransactionCanceledException(response, "TransactWriteItems")

    monkeypatch.setattr(client, "transact_write_items", conflicting)
    assert subscribers.deliver("append", events[-1:]) == []
    assert calls == 3
    assert len(subscribers.tables["store"].scan()["Items"]) == version


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
        {"event_id": "\ud800"},
        {"order_id": "a\udfff"},
        {"version": 10**40},
        {"version": float("nan")},
        {"version": float("inf")},
        {"type": {}},
    ],
)
def test_a_body_that_is_not_an_event_is_refused(change: Event) -> None:
    with pytest.raises(NotAnEvent):
        OrderEvent.parse(json.dumps(event("a", 1) | change))


@pytest.mark.parametrize("body", ["", "{", "[]", "7", "{}", "[" * 100_000, '{"version": ' + "9" * 5000 + "}"])
def test_a_body_without_the_fields_of_an_event_is_refused(body: str) -> None:
    with pytest.raises(NotAnEvent, match="the body is not an event"):
        OrderEvent.parse(body)


def test_messages_that_the_time_does_not_suffice_for_are_tried_again(subscribers: Subscribers) -> None:
    times = iter([60_000, 3_000])
    hurried = SimpleNamespace(get_remaining_time_in_millis=lambda: next(times))
    records = [message(event(order, 1)) for order in "ab"]
    answer = subscribers.module.append({"Records": records}, hurried)
    assert answer["batchItemFailures"] == [{"itemIdentifier": "b-1"}]


# --- The read model


def test_an_event_counts_only_once_it_is_in_the_store(subscribers: Subscribers) -> None:
    life = [event("a", 1), event("a", 2, "OrderPaid"), event("a", 3, "OrderShipped")]
    assert subscribers.deliver("project", life) == ["a-1", "a-2", "a-3"]  # the store is still empty
    assert subscribers.status() == {}
    subscribers.deliver("append", life)
    assert subscribers.deliver("project", [life[1]]) == []
    assert subscribers.status() == {"a": ("shipped", 3)}
    assert subscribers.deliver("project", life) == []
    assert subscribers.status() == {"a": ("shipped", 3)}


def test_the_read_model_waits_a_moment_for_the_store(
    subscribers: Subscribers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscribers.module, "_PATIENCE", 5.0)
    late = event("a", 1)
    monkeypatch.setattr("time.sleep", lambda _: subscribers.deliver("append", [late]))
    assert subscribers.deliver("project", [late]) == []
    assert subscribers.status() == {"a": ("placed", 1)}


def test_the_read_model_does_not_count_what_the_store_refuses(subscribers: Subscribers) -> None:
    good = [event("a", 1), event("a", 2, "OrderPaid")]
    other = event("a", 2, "OrderRefunded", event_id="other")
    gap = event("a", 9, "OrderShipped")
    assert subscribers.deliver("append", good) == []
    assert subscribers.deliver("append", [other]) == ["other"]
    assert subscribers.deliver("append", [gap]) == ["a-9"]
    assert subscribers.deliver("project", [other, *good]) == []
    assert subscribers.deliver("project", [gap]) == ["a-9"]
    assert subscribers.status() == {"a": ("paid", 2)}
    subscribers.rebuild()
    assert subscribers.status() == {"a": ("paid", 2)}


def test_a_rebuild_repairs_every_item(subscribers: Subscribers) -> None:
    subscribers.deliver("append", [event("a", 1), event("b", 1, "OrderNoted")])
    for order, status, version in (("a", "shipped", 9), ("b", "paid", 2), ("gone", "paid", 2)):
        subscribers.tables["status"].put_item(Item={"order_id": order, "status": status, "version": version})
    assert subscribers.rebuild() == 3
    assert subscribers.status() == {"a": ("placed", 1)}


def test_a_rebuild_continues_where_its_time_was_up(subscribers: Subscribers) -> None:
    subscribers.deliver("append", [event(order, 1) for order in "abc"])
    hurried = SimpleNamespace(get_remaining_time_in_millis=lambda: 0)
    answer = subscribers.module.project({"rebuild": True}, hurried)
    assert answer == {"rebuilt": 1, "after": "a"}
    assert subscribers.status() == {"a": ("placed", 1)}
    assert subscribers.module.project({"rebuild": True, "after": "a"}, CONTEXT) == {"rebuilt": 2}
    assert len(subscribers.status()) == 3


@pytest.mark.parametrize("method", ["get_item", "query"])
def test_a_rebuild_never_overwrites_what_a_live_event_writes_meanwhile(
    subscribers: Subscribers, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    life = [event("a", 1), event("a", 2, "OrderPaid"), event("a", 3, "OrderShipped")]
    subscribers.deliver("append", life[:1])
    client, later = subscribers.module.client, life[1:]
    original = getattr(client, method)

    def racing(**arguments: Any) -> Any:
        """Read, and let the next event arrive before the answer is used."""
        answer = original(**arguments)
        if later:
            now = [later.pop(0)]
            assert subscribers.deliver("append", now) == subscribers.deliver("project", now) == []
        return answer

    monkeypatch.setattr(client, method, racing)
    assert subscribers.rebuild() == 1
    monkeypatch.undo()
    assert not later
    assert subscribers.status() == {"a": ("shipped", 3)}


LIVES = st.lists(st.lists(st.sampled_from(TYPES), min_size=1, max_size=4), min_size=1, max_size=3)


@settings(max_examples=8)
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
    assert subscribers.rebuild() == len(lives)
    assert subscribers.status() == expected


# --- The bridge

LIMIT = int(ENVIRONMENT["MAXIMUM_MESSAGE_SIZE"])


def size_of(entry: Event) -> int:
    """Return what SNS counts of a message."""
    attributes = entry.get("MessageAttributes", {}).items()
    parts = [entry["Message"], *(part for name, one in attributes for part in (name, *one.values()))]
    return sum(len(part.encode()) for part in parts)


class Topic:
    """SNS, with its limits; it rejects a message (by its body) once for each time that it is listed."""

    def __init__(self, rejected: Sequence[str] = (), *, broken: int = 0) -> None:
        self.published: list[tuple[str, str]] = []
        self.batches: list[int] = []
        self._rejected = list(rejected)
        self._broken = broken
        self._known: set[str] = set()

    def publish_batch(self, *, TopicArn: str, PublishBatchRequestEntries: Sequence[Event]) -> Event:  # noqa: N803
        """Publish what is not rejected, unless its deduplication id was published before."""
        assert TopicArn == ENVIRONMENT["TOPIC_ARN"]
        if self._broken:
            self._broken -= 1
            raise ClientError({"Error": {"Code": "InternalError", "Message": "?"}}, "PublishBatch")
        if sum(map(size_of, PublishBatchRequestEntries)) > LIMIT:
            raise ClientError({"Error": {"Code": "BatchRequestTooLong", "Message": "!"}}, "PublishBatch")
        self.batches.append(len(PublishBatchRequestEntries))
        failed = []
        for entry in PublishBatchRequestEntries:
            assert re.fullmatch("[!-~]{1,128}", entry["MessageGroupId"])
            assert re.fullmatch("[!-~]{1,128}", entry["MessageDeduplicationId"])
            if "strange" in entry["Message"]:
                failed.append({"Id": entry["Id"], "Code": "InvalidParameter", "Message": "strange"})
            elif entry["Message"] in self._rejected:
                self._rejected.remove(entry["Message"])
                failed.append({"Id": entry["Id"], "Code": "InternalError"})
            elif entry["MessageDeduplicationId"] not in self._known:
                self._known.add(entry["MessageDeduplicationId"])
                self.published.append((entry["MessageGroupId"], entry["Message"]))
        return {"Failed": failed}


class Bridge:
    """The bridge, and Lambda's event source mapping with bisecting and partial batch responses.

    https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html
    """

    def __init__(self, module: ModuleType, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> None:
        self.module, self.topic = module, topic
        self.failures: list[Event] = []
        self.given_up: list[Event] = []
        monkeypatch.setattr(module, "client", topic)
        monkeypatch.setattr(module, "failure_queue", self)

    def send(self, body: str) -> None:
        """Be the failure queue."""
        self.failures.append(json.loads(body))

    def invoke(self, records: Sequence[Event], context: object = CONTEXT) -> list[str]:
        """Invoke the handler once, and return the sequence numbers that it returns as failed."""
        answer = self.module.handler({"Records": list(records)}, context)
        return [one["itemIdentifier"] for one in answer["batchItemFailures"]]

    def stream(self, records: Sequence[Event], attempts: int = 6) -> None:
        """Invoke the handler as Lambda does until each record is done, or given up after these attempts."""
        batches = [(list(records), attempts)]
        while batches:
            batch, left = batches.pop(0)
            numbers = [one["kinesis"]["sequenceNumber"] for one in batch]
            try:
                failed = self.invoke(batch)
            except Exception:
                failed = [numbers[0]]
                if len(batch) > 1:
                    middle = len(batch) // 2
                    batches[:0] = [(batch[:middle], left), (batch[middle:], left)]
                    continue
            if not failed:
                continue
            first = numbers.index(failed[0])
            if first:
                batches.insert(0, (batch[first:], left))
            elif left > 1:
                batches.insert(0, (batch, left - 1))
            else:
                self.given_up += batch

    def of(self, group: str) -> list[str]:
        """Return the bodies that were published in a group, in order."""
        return [body for one, body in self.topic.published if one == group_id(group)]


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def bridge(bridge_module: ModuleType, topic: Topic, monkeypatch: pytest.MonkeyPatch) -> Bridge:
    return Bridge(bridge_module, topic, monkeypatch)


def body(number: int) -> str:
    return json.dumps({"number": number})


def record(number: int, group: str, data: bytes | None = None) -> Event:
    """Make a record as Lambda delivers it."""
    return aws.kinesis_record(number, body(number).encode() if data is None else data, partition_key=group)


def large(size: int) -> bytes:
    """Make data of a size."""
    return b'{"x": "' + b"x" * (size - 9) + b'"}'


def test_a_batch_contains_no_two_messages_of_a_group(bridge: Bridge, topic: Topic) -> None:
    records = [record(number, group) for number, group in enumerate("aaab" + "cdefghijklm")]
    assert bridge.invoke(records) == []
    assert topic.batches == [10, 4, 1]
    assert bridge.of("a") == [body(0), body(1), body(2)]


def test_the_total_of_a_batch_is_limited(bridge: Bridge, topic: Topic) -> None:
    sizes = [LIMIT // 2, LIMIT // 2, LIMIT, 100, LIMIT - 100]
    assert bridge.invoke([record(n, str(n), large(size)) for n, size in enumerate(sizes)]) == []
    assert topic.batches == [2, 1, 2]
    assert not bridge.failures


def test_the_attributes_count_too(bridge: Bridge, topic: Topic) -> None:
    kind = "t" * 1000
    padding = "x" * (LIMIT // 2 - 1500)
    data = json.dumps({"type": kind, "x": padding}).encode()
    assert bridge.invoke([record(0, "a", data), record(1, "b", data)]) == []
    assert topic.batches == [1, 1]


def test_an_aggregated_record_is_refused_with_the_reason(bridge: Bridge) -> None:
    bridge.stream([record(0, "A", aws.aggregated("A", body(0).encode(), body(1).encode())), record(1, "A")])
    assert bridge.of("A") == [body(1)]
    [failure] = bridge.failures
    assert "aggregated by the Kinesis Producer Library" in failure["responsePayload"]["errorMessage"]


def test_a_message_that_is_too_large_costs_only_itself(bridge: Bridge) -> None:
    """The stream of the report: 300 KB of A, A1, A2, B1, A3, B2."""
    groups = "AAABAB"
    records = [record(number, group) for number, group in enumerate(groups)]
    records[0] = record(0, "A", large(300 * 1024))
    bridge.stream(records)
    assert bridge.of("A") == [body(1), body(2), body(4)]
    assert bridge.of("B") == [body(3), body(5)]
    [failure] = bridge.failures
    assert not bridge.given_up
    assert json.loads(failure["payload"]) == {"Records": [records[0]]}
    assert failure["responsePayload"]["errorType"] == "NotPublishable"
    assert failure["requestContext"]["condition"] == "PermanentFailure"
    info = failure["KinesisBatchInfo"]
    assert info["startSequenceNumber"] == info["endSequenceNumber"] == aws.sequence_number(0)
    assert (info["shardId"], info["batchSize"]) == ("shardId-000000000000", 1)


def test_records_that_are_no_events_cost_only_themselves(bridge: Bridge) -> None:
    r"""The other stream of the report: 300 KB, 5 good ones, "\xff", 5 good ones."""
    records = [
        record(0, "A", large(300 * 1024)),
        *(record(number, "AB"[number % 2]) for number in range(1, 6)),
        record(6, "A", b"\xff"),
        *(record(number, "AB"[number % 2]) for number in range(7, 12)),
    ]
    bridge.stream(records)
    assert bridge.of("A") == [body(number) for number in (2, 4, 8, 10)]
    assert bridge.of("B") == [body(number) for number in (1, 3, 5, 7, 9, 11)]
    assert [json.loads(one["payload"])["Records"][0] for one in bridge.failures] == [records[0], records[6]]
    assert not bridge.given_up


POISON = {
    "no UTF-8": b"\xff",
    "half a character": b'{"x": "\xc3"}',
    "empty": b"",
    "no object": b"[]",
    "NaN": b'{"x": NaN}',
    "deep": b"[" * 100_000,
    "a long number": b'{"x": ' + b"9" * 5000 + b"}",
    "a noncharacter": '{"x": "\uffff"}'.encode(),
    "a lone surrogate in an attribute": b'{"type": "\\ud800"}',
    "a control character in an attribute": b'{"type": "\\u0000"}',
    "refused by SNS": b'{"x": "strange"}',
    "too large": large(LIMIT + 1),
    "too large with its attribute": b'{"type": "OrderPaid", "x": "' + b"x" * (LIMIT - 30) + b'"}',
}


@pytest.mark.parametrize("data", POISON.values(), ids=POISON)
@pytest.mark.parametrize("place", [0, 2, 4])
def test_poison_costs_only_itself(bridge: Bridge, data: bytes, place: int) -> None:
    records = [record(number, "AB"[number % 2]) for number in range(5)]
    records[place] = record(place, "A", data)
    bridge.stream(records)
    good = [number for number in range(5) if number != place]
    assert bridge.of("A") == [body(number) for number in good if number % 2 == 0]
    assert bridge.of("B") == [body(number) for number in good if number % 2]
    [failure] = bridge.failures
    assert json.loads(failure["payload"])["Records"] == [records[place]]
    assert failure["responsePayload"]["errorMessage"]
    assert not bridge.given_up


def test_a_record_that_the_failure_queue_cannot_hold_is_reported_without_its_data(bridge: Bridge) -> None:
    assert bridge.invoke([record(0, "A", large(1_000_000))]) == []
    [failure] = bridge.failures
    assert "payload" not in failure
    assert failure["KinesisBatchInfo"]["startSequenceNumber"] == aws.sequence_number(0)


def test_poison_is_tried_again_while_the_failure_queue_refuses_it(
    bridge: Bridge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> None:
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no"}}, "SendMessage")

    monkeypatch.setattr(bridge, "send", refuse)
    records = [record(0, "A"), record(1, "B", b"\xff"), record(2, "A")]
    assert bridge.invoke(records) == [aws.sequence_number(1)]


def test_a_rejected_message_holds_back_only_its_own_group_until_the_retry(
    bridge: Bridge, topic: Topic
) -> None:
    topic._rejected = [body(1)]
    records = [record(number, group) for number, group in enumerate("abab")]
    assert bridge.invoke(records) == [aws.sequence_number(1)]
    assert topic.published == [("a", body(0)), ("a", body(2))]
    assert bridge.invoke(records[1:]) == []
    assert bridge.of("b") == [body(1), body(3)]


def test_the_batch_is_split_if_its_first_record_must_wait(bridge: Bridge, topic: Topic) -> None:
    topic._rejected = [body(0)] * 3
    records = [record(number, group) for number, group in enumerate("abab")]
    with pytest.raises(bridge.module.NotPublished):
        bridge.invoke(records)
    assert bridge.invoke(records[:1]) == [aws.sequence_number(0)]
    bridge.stream(records)
    assert bridge.of("a") == [body(0), body(2)]


def test_an_outage_in_the_middle_keeps_what_is_published(bridge: Bridge, topic: Topic) -> None:
    records = [record(number, "a") for number in range(3)]
    assert bridge.invoke(records[:1]) == []
    topic._broken = 1
    with pytest.raises(bridge.module.NotPublished):
        bridge.invoke(records[1:])
    bridge.stream(records)
    assert bridge.of("a") == [body(0), body(1), body(2)]


def test_the_handler_stops_before_its_time_is_up(bridge: Bridge, topic: Topic) -> None:
    times = iter([60_000, 60_000, 5_000])
    context = SimpleNamespace(**vars(CONTEXT) | {"get_remaining_time_in_millis": lambda: next(times)})
    assert bridge.invoke([record(n, "a") for n in range(4)], context) == [aws.sequence_number(2)]
    assert bridge.of("a") == [body(0), body(1)]


def test_a_record_has_the_same_deduplication_id_at_each_attempt_and_no_other_record_has_it() -> None:
    one = aws.kinesis_record(1, b"{}")
    assert deduplication_id(one) == deduplication_id(aws.kinesis_record(1, b"{}"))
    others = [
        aws.kinesis_record(2, b"{}"),
        aws.kinesis_record(1, b"{}", shard=1),
        aws.kinesis_record(1, b"{}", stream="other"),
    ]
    assert deduplication_id(one) not in map(deduplication_id, others)


KEYS_OF_RECORDS = [
    "a",
    "A",
    " ",
    "a ",
    "ü",
    "u\u0308",
    "a" * 128,
    "a" * 129,
    "a" * 256,
    "😀" * 256,
    "a\tb",
    "\ud800",
]


def test_each_partition_key_has_a_valid_group_of_its_own() -> None:
    groups = {key: group_id(key) for key in KEYS_OF_RECORDS}
    groups |= {group: group_id(group) for group in groups.values()}
    assert all(re.fullmatch("[!-~]{1,128}", group) for group in groups.values())
    assert len(set(groups.values())) == len(groups)
    assert groups["a" * 128] == "a" * 128


@given(st.text(min_size=1, max_size=256), st.text(min_size=1, max_size=256))
def test_different_partition_keys_have_different_groups(one: str, other: str) -> None:
    assert (group_id(one) == group_id(other)) == (one == other)
    assert group_id(group_id(one)) != group_id(one) or group_id(one) == one


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "größe"]), st.booleans()), max_size=30),
    st.integers(0, 2**32),
)
def test_each_group_is_published_in_order_and_once_whatever_sns_rejects(
    bridge_module: ModuleType, stream: list[tuple[str, bool]], seed: int
) -> None:
    chance = random.Random(seed)
    records = [
        record(number, group, b"\xff" if poison else None) for number, (group, poison) in enumerate(stream)
    ]
    topic = Topic(
        rejected=[body(number) for number in range(len(stream)) for _ in range(chance.randrange(3))]
    )
    with pytest.MonkeyPatch.context() as patch:
        bridge = Bridge(bridge_module, topic, patch)
        if records:
            bridge.stream(records)
    for group in ("a", "b", "größe"):
        good = [body(number) for number, (one, poison) in enumerate(stream) if one == group and not poison]
        assert bridge.of(group) == good
    assert len(bridge.failures) == sum(poison for _, poison in stream)
    assert not bridge.given_up
