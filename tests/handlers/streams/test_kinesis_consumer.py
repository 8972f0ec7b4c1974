"""The summaries: each reading is counted once, in order, and a bad record affects only itself."""

import json
from collections.abc import Iterator, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from streams.kinesis_consumer.readings import NotAReading, Reading, Summary
from tests.handlers.importing import import_handler
from tests.handlers.records import aggregated, kinesis_record, sequence_number
from tests.handlers.tables import make_table

CONTEXT = SimpleNamespace(function_name="f", get_remaining_time_in_millis=lambda: 30_000)
ENVIRONMENT = {
    "TABLE_NAME": "summaries",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
Item = tuple[int, str, object]


@pytest.fixture(scope="module")
def table() -> Iterator[Any]:
    """The table of the summaries."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        yield make_table(boto3.resource("dynamodb", region_name="eu-west-1"), "summaries", "device")


@pytest.fixture(scope="module")
def function(table: object) -> ModuleType:
    """The handler's module."""
    return import_handler("streams.kinesis_consumer.handler", ENVIRONMENT)


@pytest.fixture(autouse=True)
def _empty(table: Any) -> None:
    empty(table)


def empty(table: Any) -> None:
    """Delete every summary."""
    for item in table.scan()["Items"]:
        table.delete_item(Key={"device": item["device"]})


def record(sequence: int, device: str, value: object) -> dict[str, Any]:
    """Make a record as Lambda delivers it; bytes are its data, anything else its value."""
    data = value if isinstance(value, bytes) else json.dumps({"device": device, "value": value}).encode()
    return kinesis_record(sequence, data, partition_key=device)


def failed(function: ModuleType, items: Sequence[Item], context: object = CONTEXT) -> list[int]:
    """Return the numbers of the records that the handler reports as failed."""
    answer = function.handler({"Records": [record(*item) for item in items]}, context)
    first = int(sequence_number(0))
    return [int(one["itemIdentifier"]) - first for one in answer["batchItemFailures"]]


def summary(table: Any, device: str) -> tuple[int, ...] | None:
    """Return count, total, minimum, maximum and last value."""
    item = table.get_item(Key={"device": device}).get("Item")
    return item and tuple(int(item[name]) for name in ("count", "total", "minimum", "maximum", "last"))


def test_a_batch_is_folded_in_order(function: ModuleType, table: Any) -> None:
    assert failed(function, [(1, "a", 5), (2, "b", 1), (3, "a", -7), (4, "a", 6)]) == []
    assert summary(table, "a") == (3, 4, -7, 6, 6)
    assert summary(table, "b") == (1, 1, 1, 1, 1)


def test_a_reading_that_arrives_twice_is_counted_once(function: ModuleType, table: Any) -> None:
    failed(function, [(1, "a", 5), (2, "a", 6)])
    failed(function, [(1, "a", 5), (2, "a", 6), (3, "a", 7)])
    assert summary(table, "a") == (3, 18, 5, 7, 7)


def test_the_sequence_number_is_stored_as_text_that_compares_as_the_number(
    function: ModuleType,
    table: Any,
) -> None:
    stored = []
    for number in (1, 2):
        failed(function, [(number, "a", 5)])
        stored.append(table.get_item(Key={"device": "a"})["Item"]["sequence"])
    assert [int(text) for text in stored] == [int(sequence_number(1)), int(sequence_number(2))]
    # After many reshardings a number may have more digits; AWS documents up to 129.
    for number in (10**100, 10**128):
        summaries, old = function.summaries, function.summaries.get("a")
        summaries.put("a", old.with_readings([Reading("a", 5, number)]), old)
        assert summaries.get("a").sequence == number
        stored.append(table.get_item(Key={"device": "a"})["Item"]["sequence"])
    assert stored == sorted(stored)


def test_devices_for_which_no_time_is_left_are_returned_before_the_time_limit(
    function: ModuleType,
    table: Any,
) -> None:
    left = iter([30_000, 5_000])
    context = SimpleNamespace(get_remaining_time_in_millis=lambda: next(left))
    assert failed(function, [(1, "a", 5), (2, "b", 6)], context) == [2]
    assert (summary(table, "a"), summary(table, "b")) == ((1, 5, 5, 5, 5), None)


def test_a_bad_record_stops_the_batch_and_the_records_before_it_are_counted(
    function: ModuleType,
    table: Any,
) -> None:
    assert failed(function, [(1, "a", 5), (2, "b", b"{"), (3, "a", 7)]) == [2]
    assert summary(table, "a") == (1, 5, 5, 5, 5)


def test_a_bad_first_record_raises_so_that_lambda_splits_the_batch(function: ModuleType) -> None:
    with pytest.raises(NotAReading):
        failed(function, [(1, "a", b"{"), (2, "a", 7)])


def test_a_bad_record_in_a_batch_of_one_is_reported(function: ModuleType) -> None:
    assert failed(function, [(1, "a", b"{")]) == [1]


def test_a_device_that_cannot_be_written_does_not_affect_the_others(
    function: ModuleType,
    table: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = function.summaries.put

    def refuse_b(device: str, *summaries: object) -> None:
        if device == "b":
            raise RuntimeError("throttled")
        put(device, *summaries)

    monkeypatch.setattr(function.summaries, "put", refuse_b)
    assert failed(function, [(1, "a", 1), (2, "b", 2), (3, "a", 3)]) == [2]
    monkeypatch.undo()
    assert failed(function, [(2, "b", 2), (3, "a", 3)]) == []
    assert summary(table, "a") == (2, 4, 1, 3, 3)
    assert summary(table, "b") == (1, 2, 2, 2, 2)


def test_a_late_invocation_writes_nothing(function: ModuleType, table: Any) -> None:
    summaries, empty_summary, reading = function.summaries, Summary(), Reading("a", 5, 1)
    failed(function, [(1, "a", 5), (2, "a", 6)])
    with pytest.raises(Exception, match="ConditionalCheckFailed"):
        summaries.put("a", empty_summary.with_readings([reading]), empty_summary)
    old = empty_summary.with_readings([reading])
    with pytest.raises(Exception, match="ConditionalCheckFailed"):
        summaries.put("a", old, old)
    assert summary(table, "a") == (2, 11, 5, 6, 6)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"[" * 100_000,
        b'{"device": "a", "value": NaN}',
        b'{"device": "\\ud800", "value": 1}',
        b"[]",
        b"{}",
        b'{"device": "b", "value": 1}',
        b'{"device": "a"}',
    ]
    + [json.dumps({"device": "a", "value": value}).encode() for value in ("1", 1.5, True, None, 10**13)],
)
def test_data_that_is_not_a_reading_is_refused(data: bytes) -> None:
    with pytest.raises(NotAReading):
        Reading.parse(data, "a", 1)


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(-9, 9)), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(1, 12)), max_size=5),
)
def test_the_summary_is_the_fold_of_the_readings_whatever_is_delivered_again(
    function: ModuleType,
    table: Any,
    values: list[tuple[str, int]],
    again: list[tuple[int, int]],
) -> None:
    """Lambda delivers each record in order, and may deliver any part again."""
    empty(table)
    items: list[Item] = [(number, device, value) for number, (device, value) in enumerate(values, 1)]
    delivered = 0
    for start, length in [*again, (0, len(items))]:
        batch = items[min(start, delivered) : min(start, delivered) + length]
        if batch:
            assert failed(function, batch) == []
            delivered = max(delivered, batch[-1][0])
    for device in "ab":
        mine = [value for owner, value in values if owner == device]
        expected = (len(mine), sum(mine), min(mine), max(mine), mine[-1]) if mine else None
        assert summary(table, device) == expected


def test_an_aggregated_record_is_refused_with_the_reason(function: ModuleType, table: Any) -> None:
    data = aggregated("a", b'{"device": "a", "value": 1}', b'{"device": "a", "value": 2}')
    assert failed(function, [(1, "a", 5), (2, "a", data), (3, "a", 7)]) == [2]
    assert summary(table, "a") == (1, 5, 5, 5, 5)
    with pytest.raises(NotAReading, match="aggregated by the Kinesis Producer Library; switch that off"):
        Reading.parse(data, "a", 2)
