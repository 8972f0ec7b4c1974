"""The consumer of a broker: batches of both engines are read, and fail as a whole."""

import json
from base64 import b64encode
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest

from messaging.mq_consumer.messages import NotABatch, NotReadable, messages_of
from messaging.sqs_consumer.ledger import Overdrawn
from tests.handlers.importing import import_handler

CONTEXT = SimpleNamespace(
    function_name="f",
    memory_limit_in_mb=128,
    invoked_function_arn="arn:aws:lambda:::f",
    aws_request_id="1",
    get_remaining_time_in_millis=lambda: 30_000,
)
ENVIRONMENT = {"TABLE_NAME": "ledger", "AWS_DEFAULT_REGION": "eu-west-1"}


def body(entry: str) -> bytes:
    """The content of a message with an entry."""
    return json.dumps({"entry_id": entry, "account": "a", "cents": 1}).encode()


def rabbitmq(*contents: bytes, **properties: Any) -> dict[str, Any]:
    """A batch of RabbitMQ."""
    messages = [
        {"basicProperties": properties, "redelivered": False, "data": b64encode(one).decode()}
        for one in contents
    ]
    return {"eventSource": "aws:rmq", "eventSourceArn": "arn", "rmqMessagesByQueue": {"entries::/": messages}}


def activemq(*contents: bytes, place: str = "physicalName") -> dict[str, Any]:
    """A batch of ActiveMQ; AWS writes the name of the queue in two ways."""
    messages = [
        {"messageID": "ID:1", "data": b64encode(one).decode(), "destination": {place: "entries"}}
        for one in contents
    ]
    return {"eventSource": "aws:amq", "eventSourceArn": "arn", "messages": messages}


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The handler's module, with a ledger that has overdrawn the entry `poor` and knows all others."""
    module = import_handler("messaging.mq_consumer.handler", ENVIRONMENT)

    def book_entry(entry: Any, _seconds: float) -> bool:
        if entry.entry_id == "poor":
            raise Overdrawn("too low")
        if entry.entry_id == "crash":
            raise RuntimeError("the table is gone")
        return bool(entry.entry_id != "known")

    monkeypatch.setattr(module, "ledger", Mock(book=Mock(side_effect=book_entry)))
    return module


def booked(function: ModuleType) -> list[str]:
    """The entries that the handler has tried to book."""
    return [call.args[0].entry_id for call in function.ledger.book.call_args_list]


@pytest.mark.parametrize("batch", [rabbitmq, activemq])
def test_a_batch_of_either_engine_is_booked_in_its_order(function: ModuleType, batch: Any) -> None:
    function.handler(batch(body("1"), body("known"), body("2")), CONTEXT)
    assert booked(function) == ["1", "known", "2"]


@pytest.mark.parametrize("bad", [b"no JSON", b"\xff", b"", body("poor"), body("crash")])
def test_a_message_that_fails_fails_the_batch_after_all_others_were_booked(
    function: ModuleType, bad: bytes
) -> None:
    with pytest.raises(function.BatchFailed, match="1 of 3 messages"):
        function.handler(rabbitmq(body("1"), bad, body("2")), CONTEXT)
    assert [one for one in booked(function) if one not in ("poor", "crash")] == ["1", "2"]


@pytest.mark.parametrize("odd", [None, [], "x", {}, {"data": None}, {"data": 1}])
def test_an_odd_message_costs_the_others_nothing(function: ModuleType, odd: Any) -> None:
    of_rabbitmq, of_activemq = rabbitmq(body("1"), body("2")), activemq(body("3"), body("4"))
    of_rabbitmq["rmqMessagesByQueue"]["entries::/"].insert(1, odd)
    of_activemq["messages"].insert(1, odd)
    for event in (of_rabbitmq, of_activemq):
        with pytest.raises(function.BatchFailed, match="1 of 3 messages"):
            function.handler(event, CONTEXT)
    assert booked(function) == ["1", "2", "3", "4"]


def test_a_message_with_content_is_booked_whatever_else_it_lacks(function: ModuleType) -> None:
    content = b64encode(body("1")).decode()
    odd = [{"data": content}, {"data": content, "basicProperties": None, "destination": None}]
    function.handler({"eventSource": "aws:rmq", "rmqMessagesByQueue": {"q::/": odd}}, CONTEXT)
    function.handler({"eventSource": "aws:amq", "messages": odd}, CONTEXT)
    assert booked(function) == ["1"] * 4


@pytest.mark.parametrize("place", ["physicalName", "physicalname"])
def test_a_message_of_activemq_may_lack_redelivered(place: str) -> None:
    (message,) = messages_of(activemq(b"x", place=place))
    assert (message.queue, message.message_id, message.redelivered) == ("entries", "ID:1", False)


@pytest.mark.parametrize(("properties", "expected"), [({"messageId": "m"}, "m"), ({"messageId": None}, "")])
def test_a_message_of_rabbitmq_has_the_id_that_its_sender_gave_it(
    properties: dict[str, Any], expected: str
) -> None:
    (message,) = messages_of(rabbitmq(b"x", **properties))
    assert (message.queue, message.message_id) == ("entries::/", expected)


def test_content_that_is_not_base64_is_a_fault_of_its_message_only() -> None:
    event = rabbitmq(b"x")
    event["rmqMessagesByQueue"]["entries::/"][0]["data"] = "%"
    (message,) = messages_of(event)
    with pytest.raises(NotReadable):
        _ = message.body


@pytest.mark.parametrize(
    "event",
    [
        {},
        None,
        [],
        {"eventSource": "aws:sqs"},
        {"eventSource": "aws:rmq"},
        {"eventSource": "aws:rmq", "rmqMessagesByQueue": []},
    ],
)
def test_an_event_of_another_source_is_refused(event: Any) -> None:
    with pytest.raises(NotABatch):
        messages_of(event)
