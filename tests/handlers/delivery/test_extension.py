"""The extension that ships a log: its buffer, its batches, and what it does when the bucket fails."""

import gzip
import json
import threading
from typing import Any

import pytest

from delivery.extension import agent
from delivery.extension.batches import Buffer
from tests.handlers.importing import import_handler


def line(text: str, kind: str = "function") -> dict[str, Any]:
    return {"time": "2026-11-27T12:00:00.000Z", "type": kind, "record": text}


def read(body: bytes) -> list[Any]:
    return [json.loads(one)["record"] for one in gzip.decompress(body).decode().splitlines()]


class Bucket:
    """A client of S3 that keeps what it is given, or fails."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.failing = False

    def put_object(self, **given: Any) -> None:
        if self.failing:
            raise OSError("no answer")
        self.objects[given["Key"]] = given["Body"]


@pytest.fixture
def shipper(monkeypatch: pytest.MonkeyPatch) -> tuple[agent.Shipper, Buffer, Bucket]:
    """A shipper whose bucket is in memory."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "orders")
    bucket, buffer = Bucket(), Buffer(10_000, max_age=0)

    def prepare(self: agent.Shipper) -> None:
        self._s3 = bucket
        self._ready.set()

    monkeypatch.setattr(agent.Shipper, "_prepare", prepare)
    shipper = agent.Shipper(buffer, "lake", "logs/")
    assert shipper._ready.wait(60)
    return shipper, buffer, bucket


def test_what_does_not_fit_is_dropped_and_reported_once() -> None:
    buffer = Buffer(300, max_age=60)
    buffer.add([line(str(number)) for number in range(10)])
    body, count = buffer.batch()
    assert 0 < count < 10
    assert read(body) == [{"function": 10 - count}, *map(str, range(count))]
    buffer.shipped(count)
    buffer.add([line("later")])
    assert read(buffer.batch()[0]) == ["later"]


def test_records_stay_until_they_are_shipped_and_those_that_come_meanwhile_longer() -> None:
    buffer = Buffer(10_000, max_age=60)
    buffer.add([line("first")])
    for _ in range(2):
        assert read(buffer.batch()[0]) == ["first"]
    body, count = buffer.batch()
    buffer.add([line("second")])
    buffer.shipped(count)
    assert read(body) == ["first"]
    assert read(buffer.batch()[0]) == ["second"]


def test_a_batch_is_due_when_it_is_old_or_half_of_the_room_is_taken() -> None:
    assert not Buffer(1000, max_age=0).is_due()
    young = Buffer(1000, max_age=3600)
    young.add([line("a")])
    assert not young.is_due()
    young.add([line("b" * 500)])
    assert young.is_due()
    old = Buffer(1000, max_age=0)
    old.add([line("a")])
    assert old.is_due()


def test_the_end_of_an_invocation_is_waited_for_and_may_have_come_before() -> None:
    buffer = Buffer(1000, max_age=60)
    ended = {"type": "platform.runtimeDone", "record": {"requestId": "1"}}
    buffer.add([ended])
    buffer.wait_for_end("1", 60)
    waiting = threading.Thread(target=buffer.wait_for_end, args=("1", 60))
    waiting.start()
    buffer.add([ended])
    waiting.join(60)
    assert not waiting.is_alive()
    buffer.wait_for_end("2", -1)  # the deadline has passed


def test_a_bucket_that_fails_is_tried_again_later_and_nothing_is_lost(
    shipper: tuple[agent.Shipper, Buffer, Bucket], capsys: pytest.CaptureFixture[str]
) -> None:
    ships, buffer, bucket = shipper
    bucket.failing = True
    buffer.add([line("kept")])
    ships.ship()
    assert json.loads(capsys.readouterr().err) == {
        "level": "WARNING",
        "message": "log shipping: not shipped",
        "records": 1,
        "error": "no answer",
    }
    bucket.failing = False
    ships._not_before += 3600
    ships.ship()
    assert not bucket.objects
    ships.ship(last=True)
    ((key, body),) = bucket.objects.items()
    assert key.startswith("logs/orders/")
    assert key.endswith(".jsonl.gz")
    assert read(body) == ["kept"]


def test_what_cannot_be_shipped_at_the_end_is_reported_as_lost(
    shipper: tuple[agent.Shipper, Buffer, Bucket], capsys: pytest.CaptureFixture[str]
) -> None:
    ships, buffer, bucket = shipper
    bucket.failing = True
    buffer.add([line("gone")])
    ships.ship(last=True)
    assert json.loads(capsys.readouterr().err)["message"] == "log shipping: lost"


def test_the_function_logs_each_item(caplog: pytest.LogCaptureFixture) -> None:
    module = import_handler("delivery.extension.handler", {})
    with caplog.at_level("INFO"):
        assert module.handler({"order_id": "o-1", "items": 2}, None) == {"order_id": "o-1", "items": 2}
    assert [one.__dict__["item"] for one in caplog.records] == [0, 1]


@pytest.mark.parametrize("event", [{}, *({"items": one} for one in (None, True, -1, 20_001, "2")), [], None])
def test_an_order_without_a_number_of_items_is_refused(event: object) -> None:
    module = import_handler("delivery.extension.handler", {})
    with pytest.raises(ValueError, match="items: give a whole number from 0 to 20,000"):
        module.handler(event, None)
