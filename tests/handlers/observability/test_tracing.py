"""The handlers of `tracing`: which spans a function sends, in which trace, and what it does without them."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from opentelemetry.instrumentation.botocore import BotocoreInstrumentor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from observability.tracing.telemetry import DaemonExporter
from tests.handlers.importing import import_handler
from tests.handlers.records import sqs_record

TRACE, PARENT = "1-6b09ff2b-37bca4aeb81ee8b7eb48fc6f", "53995c3f42cd8ad8"
HEADER = f"Root={TRACE};Parent={PARENT};Sampled=1;Lineage=1:a:0"
OTHER = f"Root=1-6b09ff2b-{'0' * 23}1;Parent={'b' * 16};Sampled=1"
ENVIRONMENT = {
    "AWS_LAMBDA_FUNCTION_NAME": "front",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}


class Daemon:
    """The daemon of a function: what it has received."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.address = "{}:{}".format(*self._socket.getsockname())

    def spans(self) -> dict[str, Any]:
        """The spans by their names. Datagrams of this machine are there when they are sent."""
        found: dict[str, Any] = {}
        while True:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return found
            header, _, body = data.partition(b"\n")
            assert json.loads(header) == {"format": "json", "version": 1}
            assert body.startswith(b"T1S")
            request = ExportTraceServiceRequest.FromString(base64.b64decode(body[3:]))
            for resource in request.resource_spans:
                found |= {span.name: span for scope in resource.scope_spans for span in scope.spans}

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    """A daemon, in the environment of a function that runs in the trace above."""
    found = Daemon()
    for name, value in (
        *ENVIRONMENT.items(),
        ("AWS_XRAY_DAEMON_ADDRESS", found.address),
        ("_X_AMZN_TRACE_ID", HEADER),
        ("QUEUE_URL", "https://sqs.eu-west-1.amazonaws.com/1/orders"),
        ("TABLE_NAME", "orders"),
    ):
        monkeypatch.setenv(name, value)
    yield found
    BotocoreInstrumentor().uninstrument()  # type: ignore[no-untyped-call]
    found.close()


class Client:
    """A client that keeps its calls, and raises an error if it has one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self._error = error

    def _call(self, **request: Any) -> None:
        self.calls.append(request)
        if self._error:
            raise self._error

    send_message = put_item = _call


def front(monkeypatch: pytest.MonkeyPatch, client: Client) -> ModuleType:
    module = import_handler("observability.tracing.front", {})
    monkeypatch.setattr(module, "sqs", client)
    return module


def store(monkeypatch: pytest.MonkeyPatch, client: Client) -> ModuleType:
    module = import_handler("observability.tracing.handler", {})
    monkeypatch.setattr(module, "dynamodb", client)
    return module


def attributes(span: Any) -> dict[str, Any]:
    return {one.key: one.value for one in span.attributes}


def test_an_order_is_sent_and_its_span_is_in_the_trace_of_the_invocation(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    event = {"httpMethod": "POST", "body": '{"product": "lamp", "quantity": 2}'}
    answer = front(monkeypatch, client).handler(event, None)
    assert answer["statusCode"] == 202
    order = json.loads(answer["body"])
    assert json.loads(client.calls[0]["MessageBody"]) == order
    span = daemon.spans()["place order"]
    assert span.trace_id.hex() == TRACE[2:].replace("-", "")
    assert span.parent_span_id.hex() == PARENT
    found = attributes(span)
    assert found["order_id"].string_value == order["order_id"]
    listed = [one.string_value for one in found["aws.xray.annotations"].array_value.values]
    assert listed == ["order_id", "product", "quantity"]


@pytest.mark.parametrize(
    "body",
    [None, "", "{", "[]", "3", '{"product": "lamp"}', '{"product": "", "quantity": 1}',
     '{"product": "lamp", "quantity": 1.0}', '{"product": "lamp", "quantity": true}',
     '{"product": "lamp", "quantity": 1001}', '{"product": 1, "quantity": 1}'],
)  # fmt: skip
def test_what_is_no_order_is_answered_400_and_nothing_is_sent(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, body: str | None
) -> None:
    client = Client()
    answer = front(monkeypatch, client).handler({"httpMethod": "POST", "body": body}, None)
    assert answer["statusCode"] == 400
    assert client.calls == []
    assert attributes(daemon.spans()["place order"])["refused"].bool_value


def test_a_health_check_has_no_span(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = front(monkeypatch, Client()).handler({"httpMethod": "GET", "body": None}, None)
    assert answer["statusCode"] == 200
    assert daemon.spans() == {}


def test_nothing_is_sent_of_a_trace_that_is_not_sampled(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_X_AMZN_TRACE_ID", HEADER.replace("Sampled=1", "Sampled=0"))
    event = {"httpMethod": "POST", "body": '{"product": "lamp", "quantity": 2}'}
    assert front(monkeypatch, Client()).handler(event, None)["statusCode"] == 202
    assert daemon.spans() == {}


def message(header: str | None, body: str = '{"order_id": "a", "product": "lamp", "quantity": 2}') -> Any:
    record = sqs_record(0, body)
    record["attributes"] = {"ApproximateReceiveCount": "2"} | ({"AWSTraceHeader": header} if header else {})
    return record


def test_a_message_is_stored_in_the_trace_of_its_sender_with_a_link_to_that_of_the_batch(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client()
    answer = store(monkeypatch, client).handler({"Records": [message(OTHER)]}, None)
    assert answer == {"batchItemFailures": []}
    assert client.calls[0]["Item"]["order_id"] == {"S": "a"}
    span = daemon.spans()["store order"]
    assert span.trace_id.hex() == "6b09ff2b" + "0" * 23 + "1"
    assert span.parent_span_id.hex() == "b" * 16
    assert span.kind == span.SPAN_KIND_SERVER
    assert span.links[0].trace_id.hex() == TRACE[2:].replace("-", "")
    assert attributes(span)["attempt"].int_value == 2


def test_a_message_without_a_header_is_in_the_trace_of_the_batch(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(monkeypatch, Client()).handler({"Records": [message(None)]}, None)
    assert daemon.spans()["store order"].parent_span_id.hex() == PARENT


def test_a_message_that_fails_is_reported_and_its_span_has_the_error(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = [message(OTHER), message(OTHER, "not JSON")]
    module = store(monkeypatch, Client(RuntimeError("no table")))
    answer = module.handler({"Records": records}, None)
    assert [one["itemIdentifier"] for one in answer["batchItemFailures"]] == [
        record["messageId"] for record in records
    ]
    span = daemon.spans()["store order"]
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert [event.name for event in span.events] == ["exception"]


def test_spans_that_cannot_be_sent_are_lost_and_nothing_fails(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError("too large")

    exporter = DaemonExporter(daemon.address)
    exporter.shutdown()
    monkeypatch.setattr(exporter, "_socket", type("Closed", (), {"sendto": staticmethod(fail)}))
    assert exporter.export([]).name == "FAILURE"


def test_without_a_daemon_the_function_works(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**ENVIRONMENT, "QUEUE_URL": "https://x/1/orders"}.items():
        monkeypatch.setenv(name, value)
    event = {"httpMethod": "POST", "body": '{"product": "lamp", "quantity": 2}'}
    assert front(monkeypatch, Client()).handler(event, None)["statusCode"] == 202
    BotocoreInstrumentor().uninstrument()  # type: ignore[no-untyped-call]
