"""Orders on a bus: the publisher checks and repeats; each consumer acts on an order once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from moto import mock_aws

from events.event_bus.orders import PLACED, SCHEMAS, InvalidOrder, Order
from events.event_bus.publisher import Event, InvalidEvent, NotPublished, Publisher
from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table

KEYS = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
ORDER = {"order_id": "o-1", "quantity": 3}


class Bus:
    """EventBridge: answers each entry of each request as planned, and then accepts."""

    def __init__(self, *plans: Sequence[str]) -> None:
        self.plans, self.requests, self.pauses = list(plans), list[list[str]](), list[float]()

    def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        self.requests.append([json.loads(entry["Detail"])["order_id"] for entry in Entries])
        plan = self.plans.pop(0) if self.plans else []
        codes = [*plan, *[""] * (len(Entries) - len(plan))]
        found = [
            {"ErrorCode": code} if code else {"EventId": f"id of {order}"}
            for code, order in zip(codes, self.requests[-1], strict=True)
        ]
        return {"Entries": found, "FailedEntryCount": sum(map(bool, codes))}

    def publish(self, *details: Any, kind: str = PLACED) -> list[str]:
        publisher = Publisher(self, "shop", "shop", SCHEMAS, self.pauses.append)
        return publisher.publish([Event(kind, detail) for detail in details])


def order(name: str = "o-1", **more: Any) -> dict[str, Any]:
    return {"order_id": name, "quantity": 3, **more}


@pytest.mark.parametrize(
    ("detail", "kind", "text"),
    [
        ({"order_id": "o-1"}, PLACED, r"event 1, \$: 'quantity' is a required property"),
        (order(quantity=0), PLACED, r"event 1, \$.quantity: 0 is less than the minimum of 1"),
        (order(quantity="3"), PLACED, r"\$.quantity: '3' is not of type 'integer'"),
        (order(quantity=True), PLACED, r"\$.quantity: True is not of type 'integer'"),
        (order(""), PLACED, r"\$.order_id"),
        ([1], PLACED, r"\$: \[1\] is not of type 'object'"),
        (order(), "OrderLost", "the kind 'OrderLost' has no schema; known: OrderPlaced"),
        (order(note=float("nan")), PLACED, "not JSON compliant"),
        (order("\ud800"), PLACED, "surrogates not allowed"),
        (order(note="x" * 1024**2), PLACED, "bytes; 983,040 are allowed"),
        (order(note="x" * 983_040), PLACED, "bytes; 983,040 are allowed"),
    ],
)
def test_a_malformed_event_is_refused_and_nothing_is_published(detail: Any, kind: str, text: str) -> None:
    bus = Bus()
    publisher = Publisher(bus, "shop", "shop", SCHEMAS)
    with pytest.raises(InvalidEvent, match=text):
        publisher.publish([Event(PLACED, order()), Event(kind, detail)])
    assert bus.requests == []


def test_a_request_has_ten_entries_and_one_megabyte_at_most() -> None:
    bus = Bus()
    assert bus.publish(*(order(str(number)) for number in range(12))) == [f"id of {n}" for n in range(12)]
    assert [len(request) for request in bus.requests] == [10, 2]
    large = Bus()
    large.publish(*(order(str(number), note="x" * 400_000) for number in range(5)))
    assert [len(request) for request in large.requests] == [2, 2, 1]
    exact = Bus()
    overhead = len("shop") + len(PLACED) + len('{"order_id":"1","quantity":3,"note":""}')
    exact.publish(*(order(name, note="x" * (512 * 1024 - overhead)) for name in "12"))
    assert [len(request) for request in exact.requests] == [1, 1]  # the sum must be less than 1 MiB


def test_entries_that_failed_are_sent_again_and_no_others() -> None:
    bus = Bus(["ThrottlingException", "", "InternalFailure"], ["", "ThrottlingException"])
    assert bus.publish(order("a"), order("b"), order("c")) == ["id of a", "id of b", "id of c"]
    assert bus.requests == [["a", "b", "c"], ["a", "c"], ["c"]]
    assert [0.05 <= bus.pauses[0] <= 0.1, 0.1 <= bus.pauses[1] <= 0.2, len(bus.pauses)] == [True, True, 2]


@pytest.mark.parametrize(
    ("code", "attempts"), [("ThrottlingException", 4), ("NotAuthorizedForSourceException", 1)]
)
def test_what_cannot_be_published_is_reported_with_its_position(code: str, attempts: int) -> None:
    bus = Bus(["", code], *[[code]] * 3)
    with pytest.raises(NotPublished, match=f"event 1: {code}") as raised:
        bus.publish(order("a"), order("b"))
    assert list(raised.value.errors) == [1]
    assert len(bus.requests) == attempts


def test_what_was_published_before_a_request_failed_is_reported() -> None:
    class Failing(Bus):
        def put_events(self, *, Entries: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
            if len(self.requests) == 1:
                self.requests.append([])
                raise ClientError({"Error": {"Code": "InternalException", "Message": "no"}}, "PutEvents")
            return super().put_events(Entries=Entries)

    bus = Failing()
    with pytest.raises(NotPublished, match=r"event 10: ClientError: .*InternalException") as raised:
        bus.publish(*(order(str(number)) for number in range(21)))
    assert list(raised.value.errors) == list(range(10, 20))
    assert raised.value.published == {n: f"id of {n}" for n in (*range(10), 20)}


@settings(max_examples=50)
@given(
    st.fixed_dictionaries(
        {"order_id": st.text(max_size=300), "quantity": st.integers() | st.floats() | st.booleans()}
    )
)
@example({"order_id": "o-1", "quantity": 3.0})
def test_a_consumer_takes_what_the_publisher_accepts(detail: dict[str, Any]) -> None:
    if Draft202012Validator(SCHEMAS[PLACED]).is_valid(detail):
        assert Order.parse(json.loads(json.dumps(detail))).order_id == detail["order_id"]
    else:
        with pytest.raises(InvalidOrder):
            Order.parse(detail)


# --- The functions


@pytest.fixture
def consumer() -> Iterator[Callable[..., ModuleType]]:
    """Makes the module of a consumer, with an empty table."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in KEYS.items():
            patch.setenv(name, value)
        make_table(boto3.client("dynamodb"), "effects", "consumer", "order_id")

        def make(name: str = "Invoices", **more: str) -> ModuleType:
            variables = {**KEYS, "TABLE_NAME": "effects", "CONSUMER": name, **more}
            return import_handler("events.event_bus.handler", variables)

        yield make


def handled(function: ModuleType, event: object) -> str:
    context = SimpleNamespace(
        function_name="f", memory_limit_in_mb=256, invoked_function_arn="arn", aws_request_id="1"
    )
    return str(function.handler(event, context)["outcome"])


def test_an_order_counts_once_whole_or_transformed_live_or_replayed(
    consumer: Callable[..., ModuleType],
) -> None:
    function = consumer()
    assert handled(function, {"order": ORDER}) == "done"
    assert handled(function, {"detail": ORDER, "id": "2"}) == "duplicate"
    assert handled(function, {"detail": ORDER, "replay-name": "again"}) == "duplicate"
    (item,) = boto3.client("dynamodb").scan(TableName="effects")["Items"]
    assert item["times"] == {"N": "1"}


def test_a_consumer_may_skip_replays(consumer: Callable[..., ModuleType]) -> None:
    function = consumer("Mails", REPLAYS="skip")
    assert handled(function, {"detail": ORDER, "replay-name": "again"}) == "skipped"
    assert boto3.client("dynamodb").scan(TableName="effects")["Items"] == []
    assert handled(function, {"detail": ORDER}) == "done"


@pytest.mark.parametrize(
    "event", [None, [], {}, {"detail": "x"}, {"order": None}, {"detail": {"order_id": 1}}]
)
def test_an_event_that_is_no_order_fails(consumer: Callable[..., ModuleType], event: object) -> None:
    function = consumer()
    with pytest.raises(function.InvalidOrder):
        handled(function, event)


@pytest.mark.parametrize("event", [None, {}, {"orders": None}, {"orders": {}}, [order()]])
def test_an_event_without_orders_is_refused(event: object) -> None:
    module = import_handler("events.event_bus.shop", {**KEYS, "EVENT_BUS_NAME": "shop"})
    context = SimpleNamespace(
        function_name="f", memory_limit_in_mb=256, invoked_function_arn="arn", aws_request_id="1"
    )
    with pytest.raises(module.InvalidEvent, match="give a list of orders"):
        module.handler(event, context)


def test_the_shop_sends_again_what_eventbridge_throttles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    module = import_handler("events.event_bus.shop", {**KEYS, "EVENT_BUS_NAME": "shop"})
    bus = Bus(["ThrottlingException"] * 2)
    monkeypatch.setattr(module, "_events", bus)
    context = SimpleNamespace(
        function_name="f", memory_limit_in_mb=256, invoked_function_arn="arn", aws_request_id="1"
    )
    orders = [order(name) for name in "abc"]
    assert module.handler({"orders": orders}, context) == {"published": 3}
    assert bus.requests == [["a", "b", "c"], ["a", "b"]]
