"""The query language of CloudWatch Logs Insights."""

from __future__ import annotations

import json
from typing import Any

import pytest

from localaws.services.logs.insights import Query, QueryError, fields_of, shown

REPORT = (
    "REPORT RequestId: r-1\tDuration: 20.50 ms\tBilled Duration: 21 ms\tMemory Size: 128 MB\t"
    "Max Memory Used: 60 MB\tInit Duration: 99.00 ms"
)
RECORDS: list[dict[str, Any]] = [
    {"@message": "a", "level": "ERROR", "ms": 30, "nested.id": "x", "@ptr": "1"},
    {"@message": "b", "level": "INFO", "ms": "4", "@ptr": "2"},
    {"@message": "c/d", "level": "ERROR", "ms": 100.5, "@ptr": "3"},
    {"@message": "e", "@ptr": "4"},
]


def found(query: str) -> list[str]:
    """The messages that a query finds, in order."""
    return [row["@message"] for row in Query(query).run(RECORDS)]


@pytest.mark.parametrize(
    ("query", "messages"),
    [
        ("fields @message", ["a", "b", "c/d", "e"]),
        ("filter level = 'ERROR'", ["a", "c/d"]),
        ('FILTER level != "ERROR"', ["b", "e"]),
        ("filter ms > 5", ["a", "c/d"]),
        ("filter ms <= 30 and not level = 'INFO'", ["a"]),
        ("filter level = 'INFO' or nested.id = 'x'", ["a", "b"]),
        ("filter (level = 'INFO' or ms > 50) and ms < 100", ["b"]),
        ("filter @message like /c\\/[a-d]/", ["c/d"]),
        ("filter @message like /C/i", ["c/d"]),
        ("filter @message =~ /^[ab]$/", ["a", "b"]),
        ("filter @message not like 'c'", ["a", "b", "e"]),
        ("filter level in ['INFO', 'WARN']", ["b"]),
        ("filter ispresent(ms)", ["a", "b", "c/d"]),
        ("filter not ispresent(ms)", ["e"]),
        ("filter coalesce(ms, 0) = 0", ["e"]),
        ("sort ms desc | limit 2", ["c/d", "a"]),
        ("sort level asc, ms desc", ["e", "c/d", "a", "b"]),
        ("# what fails\nfilter level = 'ERROR'\n| limit 1", ["a"]),
    ],
)
def test_a_query_finds_these_events_in_this_order(query: str, messages: list[str]) -> None:
    assert found(query) == messages


def test_rows_have_the_fields_that_are_asked_for_and_present() -> None:
    rows = Query("fields @message, coalesce(nested.id, level) as id | display id, ms").run(RECORDS)
    assert rows[0] == {"id": "x", "ms": 30, "@ptr": "1"}
    assert rows[3] == {"@ptr": "4"}


def test_statistics_by_a_field() -> None:
    query = "stats count(*), count(ms) as timed, sum(ms), min(ms), avg(ms) as mean, pct(ms, 50) by level"
    rows = {row.get("level"): row for row in Query(query).run(RECORDS)}
    assert rows["ERROR"] == {
        "level": "ERROR",
        "count(*)": 2,
        "timed": 2,
        "sum(ms)": 130.5,
        "min(ms)": 30,
        "mean": 65.25,
        "pct(ms, 50)": 30,
    }
    assert rows[None] == {"count(*)": 1, "timed": 0}


def test_count_without_a_field_counts_events() -> None:
    assert Query("stats count() as n").run(RECORDS) == [{"n": 4}]


def test_statistics_of_no_events_are_one_row() -> None:
    assert Query("filter ms > 1000 | stats count(*) as n, max(ms)").run(RECORDS) == [{"n": 0}]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("parse @message '*' as x", "'parse' is not emulated; emulated are display"),
        ("stats median(ms)", "stats median"),
        ("stats count(*) by bin(5m)", r"bin\(\) is not emulated"),
        ("stats count() as c by bin(1m)", r"bin\(\) is not emulated"),
        ("fields ms + 1", "'\\+ 1' is not valid"),
        ("filter ms >", "the query ends where a field or a value is expected"),
        ("filter ms = 1 |", "the query ends where a name is expected"),
        ("filter @message like 7", "expected a regular expression or a text, found '7'"),
        ("filter @message like /(/", "is not a regular expression"),
        ("limit 0", "limit 0"),
        ("limit 10001", "limit 10001"),
        ("", "the query ends"),
        ("filter toMillis(ms) > 1", "emulated is toMillis"),
    ],
)
def test_what_is_not_emulated_is_refused_by_name(query: str, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        Query(query)


def test_fields_are_discovered_in_json_and_in_reports_of_lambda() -> None:
    event = {"a": {"b": [1, {"c": True}]}, "none": None, "text": "x"}
    assert fields_of(json.dumps(event)) == {"a.b.0": 1, "a.b.1.c": "true", "text": "x"}
    report = fields_of(REPORT)
    assert report["@type"] == "REPORT"
    assert (report["@duration"], report["@initDuration"]) == (20.5, 99)
    assert report["@maxMemoryUsed"] == 60_000_000
    assert fields_of("{no JSON") == fields_of("text") == {}


@pytest.mark.parametrize(
    ("value", "text"), [(2.0, "2"), (2.5, "2.5"), (1 / 3, "0.3333"), ("x", "x"), (7, "7")]
)
def test_values_are_shown_as_texts(value: object, text: str) -> None:
    assert shown(value) == text
