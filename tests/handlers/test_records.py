"""The events of the tests have AWS's shapes, so that no handler is tested with simpler values."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.handlers import records as events

# The examples are those of the pages that `records` names.
SHAPES = {
    "sequence number": (events.sequence_number(7), r"\d{56}"),
    "FIFO sequence number": (events.fifo_sequence_number(7), r"\d{20}"),
    "message id": (events.message_id("a"), r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
    "receipt handle": (events.receipt_handle("a"), r"AQEB[A-Za-z0-9+/]{340,}={0,2}"),
    "version id": (events.version_id("a"), r"[A-Za-z0-9._]{32}"),
    "ETag": (events.etag("a"), r"[0-9a-f]{32}"),
    "ETag of parts": (events.multipart_etag("a", 12), r"[0-9a-f]{32}-12"),
    "sequencer": (events.sequencer(7), r"00[0-9A-F]{14}E5"),
    "shorter sequencer": (events.sequencer(8), r"00[0-9A-F]{14}"),
    "hook": (events.hook_event()["LifecycleEventHookExecutionId"], r"eyJ[A-Za-z0-9+/]{100,}={0,2}"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_value_has_the_shape_of_awss(name: str) -> None:
    value, pattern = SHAPES[name]
    assert re.fullmatch(pattern, value)


def test_a_later_sequence_number_is_larger_as_text_and_as_a_number() -> None:
    for one in (events.sequence_number, events.fifo_sequence_number):
        values = [one(number) for number in range(1000)]
        assert values == sorted(values)
        assert len({len(value) for value in values}) == 1


def test_a_later_sequencer_is_larger_only_after_padding() -> None:
    values = [events.sequencer(number) for number in range(1000)]
    assert {len(value) for value in values} == {16, 18}
    assert values == sorted(values, key=lambda value: value.ljust(18, "0"))
    assert values != sorted(values, key=lambda value: int(value, 16))


@pytest.mark.parametrize("multi_value", [False, True])
def test_a_load_balancer_adds_its_headers(multi_value: bool) -> None:
    event = events.alb_event("GET", "/?a=1", multi_value=multi_value)
    headers = event["multiValueHeaders" if multi_value else "headers"]
    for name in ("host", "x-amzn-trace-id", "x-forwarded-for", "x-forwarded-port", "x-forwarded-proto"):
        assert isinstance(headers[name], list if multi_value else str)


def test_only_events_of_created_objects_have_a_size_and_those_about_tags_no_reason() -> None:
    def detail(name: str, **more: Any) -> Any:
        return events.s3_bridge_event("a", name=name, **more)["detail"]

    assert detail("Object Created")["object"].keys() == {"key", "size", "etag", "sequencer"}
    assert detail("Object Deleted")["object"].keys() == {"key", "sequencer"}
    assert detail("Object Deleted", version="v")["deletion-type"] == "Delete Marker Created"
    assert "reason" not in detail("Object Tags Added", order="")


def test_names_choose_values() -> None:
    for one in (events.message_id, events.receipt_handle, events.version_id):
        assert one("a") == one("a") != one("b")


@pytest.mark.parametrize(
    ("key", "encoded"),
    [("a b+ü.txt", "a+b%2B%C3%BC.txt"), ("dt=2026/x", "dt%3D2026/x"), ("a/b-c_d.e", "a/b-c_d.e")],
)
def test_s3_encodes_the_key_of_a_notification_and_not_that_of_an_event(key: str, encoded: str) -> None:
    record: dict[str, Any] = events.s3_record(key)
    assert record["s3"]["object"]["key"] == encoded
    assert events.s3_bridge_event(key)["detail"]["object"]["key"] == key


def test_only_a_fifo_queue_has_groups_and_sequence_numbers() -> None:
    assert "SequenceNumber" not in events.sqs_record(1, "body")["attributes"]
    grouped = events.sqs_record(1, "body", group="g")
    assert grouped["attributes"]["MessageGroupId"] == "g"
    assert grouped["eventSourceARN"].endswith(".fifo")
