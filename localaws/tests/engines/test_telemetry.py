"""What extensions lose when they are too slow, and how they learn of it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from localaws.engines.runtime_api.sandbox import Refused
from localaws.engines.runtime_api.telemetry import Telemetry


class Consumer(ThreadingHTTPServer):
    """Takes batches when it is allowed to."""

    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []
        self.asked, self.allowed = threading.Event(), threading.Event()
        self.dropped = threading.Event()
        super().__init__(("127.0.0.1", 0), Take)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Take(BaseHTTPRequestHandler):
    """Its requests."""

    server: Consumer

    def do_POST(self) -> None:
        batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.set()
        self.server.allowed.wait(60)
        self.server.batches.append(batch)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
        if any(one["type"] == "platform.logsDropped" for one in batch):
            self.server.dropped.set()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def request(port: int, **changed: Any) -> bytes:
    """A request to subscribe."""
    uri = f"http://sandbox.localdomain:{port}"
    whole = {
        "schemaVersion": "2022-12-13",
        "destination": {"protocol": "HTTP", "URI": uri},
        "types": ["function", "platform"],
        "buffering": {"timeoutMs": 25},
    }
    return json.dumps(whole | changed).encode()


def test_a_consumer_that_falls_behind_loses_records_and_learns_how_many() -> None:
    consumer, telemetry = Consumer(), Telemetry("127.0.0.1")
    telemetry.publish("function", "earlier")
    telemetry.subscribe("watch", request(consumer.server_port), closed=False)
    telemetry.initialized()
    assert consumer.asked.wait(60)  # for the first batch, which it does not take yet
    for number in range(30):
        telemetry.publish("function", f"{number:>100000}")
    consumer.allowed.set()
    assert consumer.dropped.wait(60)
    telemetry.close()
    consumer.shutdown()
    consumer.server_close()
    items = [one for batch in consumer.batches for one in batch]
    assert items[0]["record"] == "earlier"
    taken = [one for one in items if one["type"] == "function"][1:]
    (dropped,) = [one["record"] for one in items if one["type"] == "platform.logsDropped"]
    assert 0 < len(taken) < 30  # the oldest, up to four batches
    assert [int(one["record"]) for one in taken] == list(range(len(taken)))
    assert (dropped["droppedRecords"], dropped["droppedBytes"] > 100_000) == (30 - len(taken), True)


URI = "http://sandbox.localdomain:4243"


@pytest.mark.parametrize(
    "changed",
    [
        {"buffering": {"maxItems": 999}},
        {"buffering": {"timeoutMs": 30_001}},
        {"buffering": {"timeoutMs": True}},
        {"buffering": [1]},
        {"types": "platform"},
        {"types": [{}]},
        {"types": {"platform": 1}},
        {"destination": {"protocol": "HTTP", "URI": 5}},
        {"destination": {"protocol": ["HTTP"], "URI": URI}},
        {"destination": [URI]},
        {"destination": URI},
        {"schemaVersion": {}},
    ],
)
def test_subscriptions_that_are_not_valid_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(Refused) as refused:
        Telemetry("127.0.0.1").subscribe("watch", request(4243, **changed), closed=False)
    assert (refused.value.status, refused.value.kind) == (400, "ValidationError")


@pytest.mark.parametrize("body", [b"", b"[1]", b"7", b"{", b"[" * 100_000])
def test_what_is_no_subscription_is_refused(body: bytes) -> None:
    with pytest.raises(Refused, match="are required"):
        Telemetry("127.0.0.1").subscribe("watch", body, closed=False)
