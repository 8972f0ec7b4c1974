"""Brokers as event sources: batches and records; tests of `mq-consumer` read the queues of real brokers."""

from __future__ import annotations

import json
import threading
from base64 import b64encode
from collections import deque
from types import SimpleNamespace
from typing import Any, cast

import pika
import pytest
import stomp
from ministack.services import lambda_svc

from helpers.lambda_functions import Functions, eventually
from localaws import LocalAws
from localaws.engines.brokers import Login, Lost, Message, Refused, activemq, connect, rabbitmq
from localaws.services.lambda_ import broker_event_source
from localaws.services.lambda_.event_source_mappings import MAX_PAYLOAD_BYTES
from mq.test_brokers import READING, broker

USER = {"username": "consumer", "password": "correct horse"}


class Queue:
    """A consumer of a queue that is only a list; its clock goes on while it waits."""

    def __init__(self, *contents: str) -> None:
        self.messages = [message(one) for one in contents]
        self.accepted: list[str] = []
        self.returned: list[str] = []
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def receive(self, seconds: float) -> Message | None:
        if self.messages:
            return self.messages.pop(0)
        self.now += seconds
        return None

    def accept(self, batch: list[Message]) -> None:
        self.accepted += [one.receipt for one in batch]

    def give_back(self, batch: list[Message]) -> None:
        self.returned += [one.receipt for one in batch]

    def close(self) -> None:
        pass


def message(content: str) -> Message:
    return Message({"data": b64encode(content.encode()).decode()}, content[:1])


def batches(queue: Queue, **settings: Any) -> list[list[str]]:
    """The batches of a mapping, until the queue is empty."""
    mapping = {"Queues": ["orders"], "SourceAccessConfigurations": [], "BatchSize": 10, **settings}
    poller = broker_event_source._Poller("1", "eu-west-1", mapping, "")
    found = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(broker_event_source, "time", queue)
        while queue.messages or poller._next:
            found.append([one.receipt for one in poller._collect(queue)])
    return found


def test_a_batch_ends_when_it_is_full() -> None:
    queue = Queue(*"abcd")
    assert batches(queue, BatchSize=2, MaximumBatchingWindowInSeconds=300) == [["a", "b"], ["c", "d"]]
    assert queue.now == 0


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({}, 0.5),
        ({"MaximumBatchingWindowInSeconds": 0}, 0),
        ({"MaximumBatchingWindowInSeconds": 300}, 300),
    ],
)
def test_a_batch_that_is_not_full_waits_for_its_window(settings: dict[str, int], seconds: float) -> None:
    queue = Queue("a", "b")
    assert batches(queue, **settings) == [["a", "b"]]
    assert queue.now == pytest.approx(seconds)


def test_a_message_that_would_exceed_6_mb_is_the_first_of_the_next_batch() -> None:
    half = MAX_PAYLOAD_BYTES * 3 // 8  # base64 makes it half of what is allowed, and the rest is too much
    assert batches(Queue("a", "b" * half, "c" * half, "d")) == [["a", "b"], ["c", "d"]]


def test_a_message_of_more_than_6_mb_is_dropped() -> None:
    queue = Queue("a", "b" * MAX_PAYLOAD_BYTES, "c")
    assert batches(queue) == [["a", "c"]]
    assert queue.accepted == ["b"]


@pytest.mark.parametrize(
    ("data", "passed"),
    [({"kind": ["order"]}, ["{"]), (["text"], ["t"])],
)
def test_filters_see_the_content_and_what_does_not_pass_is_dropped(data: Any, passed: list[str]) -> None:
    queue = Queue('{"kind": "order"}', '{"kind": "other"}', "text", "[]")
    filters = {"Filters": [{"Pattern": json.dumps({"data": data})}]}
    assert batches(queue, FilterCriteria=filters) == [passed]
    assert len(queue.accepted) == 3


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "Jan 1, 1970, 12:00:00 AM"),
        (2_021, "Jan 1, 1970, 12:33:41 AM"),
        (43_199, "Jan 1, 1970, 11:59:59 AM"),
        (43_200, "Jan 1, 1970, 12:00:00 PM"),
        (1_798_761_599, "Dec 31, 2026, 11:59:59 PM"),
    ],
)
def test_a_time_of_rabbitmq_is_written_as_in_the_example_of_aws(seconds: int, written: str) -> None:
    record = rabbitmq.record_of(pika.BasicProperties(timestamp=seconds), b"", redelivered=False)
    assert record["basicProperties"]["timestamp"] == written


def test_texts_in_headers_of_rabbitmq_are_bytes_as_in_the_example_of_aws() -> None:
    headers = {"header1": "value1", "numberInHeader": 10, "deep": {"a": ["b", None, True]}}
    record = rabbitmq.record_of(pika.BasicProperties(headers=headers), b"ab", redelivered=True)
    assert record["basicProperties"]["headers"] == {
        "header1": {"bytes": [118, 97, 108, 117, 101, 49]},
        "numberInHeader": 10,
        "deep": {"a": [{"bytes": [98]}, None, True]},
    }
    assert (record["basicProperties"]["bodySize"], record["data"], record["redelivered"]) == (2, "YWI=", True)


HEADERS = {"message-id": "ID:1", "destination": "/queue/orders", "ack": "a", "subscription": "lambda"}


@pytest.mark.parametrize(
    ("headers", "kind"), [({}, "jms/text-message"), ({"content-length": "1"}, "jms/bytes-message")]
)
def test_messages_of_activemq_are_texts_or_bytes(headers: dict[str, str], kind: str) -> None:
    record = activemq.record_of(HEADERS | headers, b"\xff", 5)
    assert (record["messageType"], record["data"]) == (kind, "/w==")
    assert record["destination"] == {"physicalName": "orders"}
    assert (record["deliveryMode"], record["redelivered"], record["brokerOutTime"]) == (1, False, 5)


def test_what_is_not_of_the_protocol_is_a_property_of_the_message() -> None:
    assert activemq.record_of(HEADERS | {"index": "1", "priority": "9"}, b"", 5)["properties"] == {
        "index": "1"
    }


def test_activemq_is_given_a_batch_up_after_six_redeliveries() -> None:
    consumer = activemq.ActiveMq.__new__(activemq.ActiveMq)
    refused: list[str] = []
    consumer._again = deque()
    consumer._connection = SimpleNamespace(nack=refused.append)
    batch = [message("a"), message("b")]
    for _ in range(activemq.MAXIMUM_REDELIVERIES):
        consumer.give_back(batch)
        batch = [consumer.receive(0), consumer.receive(0)]  # type: ignore[list-item] # both are there
        assert [one.receipt for one in batch] == ["a", "b"]
        assert all(one.record["redelivered"] for one in batch)
        assert not refused
    consumer.give_back(batch)
    assert refused == ["a", "b"]
    assert not consumer._again


ERRORS: dict[str, tuple[Exception, str]] = {
    "password": (pika.exceptions.ProbableAuthenticationError("403"), "EVENT_SOURCE_AUTHN_ERROR"),
    "virtual host": (pika.exceptions.ProbableAccessDeniedError("530"), "ESM_CONFIG_NOT_VALID"),
    "limit": (pika.exceptions.ConnectionClosedByBroker(530, "full"), "ESM_CONFIG_NOT_VALID"),
}


@pytest.mark.parametrize(("error", "code"), ERRORS.values(), ids=ERRORS)
def test_a_consumer_that_rabbitmq_refuses_has_the_code_of_lambda(
    error: Exception, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_parameters: Any) -> None:
        raise error

    monkeypatch.setattr(pika, "BlockingConnection", refuse)
    with pytest.raises(Refused) as caught:
        connect(Login("amqp://127.0.0.1:1", "u", "p", "q", "/", 1))
    assert caught.value.code == code


@pytest.mark.parametrize("url", ["amqp://127.0.0.1:9", "stomp://127.0.0.1:9"])
def test_a_broker_that_does_not_answer_is_not_an_error_of_the_mapping(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **_named: Any) -> None:
        raise stomp.exception.ConnectFailedException

    def refuse(_parameters: Any) -> None:
        raise pika.exceptions.AMQPConnectionError

    monkeypatch.setattr(stomp.Connection12, "connect", fail)
    monkeypatch.setattr(pika, "BlockingConnection", refuse)
    with pytest.raises(Lost):
        connect(Login(url, "u", "p", "q", "/", 1))


class Idle:
    """A poller that does nothing until it is stopped; `busy`: its function still runs then."""

    def __init__(self, _account: str, _region: str, mapping: dict[str, Any], url: str) -> None:
        self.stopped, self.given, self.busy = threading.Event(), (dict(mapping), url), False

    def start(self) -> None:
        pass

    def is_alive(self) -> bool:
        return self.busy or not self.stopped.is_set()

    def serves(self, given: tuple[str, str, dict[str, Any], str]) -> bool:
        return self.given == given[2:]


def test_a_mapping_is_polled_while_it_is_there_enabled_and_has_a_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mapping = {"UUID": "m", "EventSourceArn": "arn", "Enabled": True}
    found, urls, pollers = [mapping], {"arn": "amqp://a:1"}, dict[str, Any]()
    for name, value in (("_urls", urls), ("_pollers", pollers), ("_Poller", Idle)):
        monkeypatch.setattr(broker_event_source, name, value)
    monkeypatch.setattr(lambda_svc, "_iter_all_esms", lambda: [("1", "eu-west-1", one) for one in found])

    def poll() -> Any:
        assert broker_event_source._poll_all(lambda: True)
        return pollers.get("m")

    first = poll()
    assert poll() is first
    mapping["Enabled"] = False
    assert poll() is None
    assert first.stopped.is_set()
    mapping["Enabled"] = True
    second = poll()
    urls.clear()
    assert poll() is None
    assert second.stopped.is_set()
    urls["arn"] = "amqp://b:1"
    third = poll()
    assert third.given[1] == "amqp://b:1"
    third.busy, urls["arn"] = True, "amqp://c:1"
    assert poll() is third  # the next one waits for the end of its function
    assert third.stopped.is_set()
    third.busy = False
    assert poll().given[1] == "amqp://c:1"
    found.clear()  # deleted, or its role lacks a permission
    assert poll() is None


class Mapped:
    """A mapping with a broker of ActiveMQ."""

    def __init__(self, functions: Functions, secret: str) -> None:
        client = functions.aws.client
        self.lambda_ = client("lambda")
        self.arn = client("mq").create_broker(**broker(EngineType="ACTIVEMQ"))["BrokerArn"]
        login = client("secretsmanager").create_secret(Name=self.arn[-12:], SecretString=secret)["ARN"]
        self.id = self.lambda_.create_event_source_mapping(
            EventSourceArn=self.arn,
            FunctionName=functions.make("def handler(event, context): ...", role=functions.role(*READING)),
            Queues=["orders"],
            SourceAccessConfigurations=[{"Type": "BASIC_AUTH", "URI": login}],
        )["UUID"]

    def reads(self) -> dict[str, Any]:
        found: dict[str, Any] = self.lambda_.get_event_source_mapping(UUID=self.id)
        return found


@pytest.mark.local
@pytest.mark.parametrize("secret", ["{}", "[]", "no JSON", '{"username": "u"}'])
def test_a_secret_without_user_and_password_stops_a_mapping(functions: Functions, secret: str) -> None:
    mapped = Mapped(functions, secret)
    with functions.aws.with_broker(mapped.arn, "stomp://127.0.0.1:9"):
        eventually(lambda: mapped.reads().get("StateTransitionReason") == "EVENT_SOURCE_AUTHN_ERROR")


@pytest.mark.local
def test_a_real_broker_stands_in_for_one_of_its_engine_only(local_aws: LocalAws) -> None:
    arn = local_aws.client("mq").create_broker(**broker(EngineType="ACTIVEMQ"))["BrokerArn"]
    for other, url, text in (
        (arn, "amqp://127.0.0.1:5672", "give stomp://HOST:PORT"),
        (arn[:-1], "stomp://127.0.0.1:1", "does not exist"),
        (arn, "https://127.0.0.1:1", "url="),
        (arn, "stomp://127.0.0.1", "url="),
        (arn, "stomp://127.0.0.1:0", "url="),
        (arn, "stomp://127.0.0.1:99999", "url="),
        (arn, "stomp://192.0.2.1:61613", "of this machine"),
        (arn, "stomp://broker.example.com:61613", "of this machine"),
        (arn, "stomp://u:p@127.0.0.1:61613", "url="),
        (arn, None, "url="),
        ("arn:aws:sqs:eu-west-1:123456789012:q", "stomp://127.0.0.1:1", "arn="),
    ):
        with pytest.raises(ValueError, match=text), local_aws.with_broker(other, cast("str", url)):
            pass


@pytest.mark.local
@pytest.mark.parametrize("host", ["localhost", "127.0.0.9", "[::1]"])
def test_the_end_of_an_inner_block_restores_the_broker_of_the_outer_one(
    local_aws: LocalAws, host: str
) -> None:
    arn = local_aws.client("mq").create_broker(**broker(EngineType="ACTIVEMQ"))["BrokerArn"]

    def ends_with(url: str | None) -> None:
        """Ask which URL is used, by the answer to another change."""
        asked = local_aws._call("POST", "/_localaws/broker", {"arn": arn, "url": url})
        assert asked == {"refused": None, "before": url}

    with local_aws.with_broker(arn, "stomp://127.0.0.1:9"):
        with local_aws.with_broker(arn, f"stomp://{host}:10"):
            ends_with(f"stomp://{host}:10")
        ends_with("stomp://127.0.0.1:9")
    ends_with(None)
