"""Answers of functions that transform records."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from localaws.services.firehose import transformation
from localaws.services.firehose.delivery import Buffer
from localaws.services.firehose.records import Record, deaggregated
from localaws.services.firehose.transformation import Transformed, transformed

RECORDS = [Record(b"one", id="1"), Record(b"two", id="2")]


def ok(number: str, **more: Any) -> dict[str, Any]:
    """The answer to a record."""
    return {"recordId": number, "result": "Ok", "data": base64.b64encode(b"done").decode(), **more}


def answered(monkeypatch: pytest.MonkeyPatch, answer: object) -> Transformed:
    """What becomes of both records when the function returns this."""
    monkeypatch.setattr(transformation, "_invoke", lambda *_: (None, answer))
    monkeypatch.setattr(transformation, "get_region", lambda: "eu-west-1")
    return transformed({"arn": "arn"}, "role", {"LambdaArn": "function"}, RECORDS)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (None, "Lambda.JsonProcessingException"),
        ({"records": None}, "Lambda.JsonProcessingException"),
        ({"records": [ok("1"), ok("2", result="ok")]}, "Lambda.FunctionError"),
        ({"records": [ok("1"), ok("2", data=None)]}, "Lambda.FunctionError"),
        ({"records": [ok("1"), ok("2", data="{}")]}, "Lambda.FunctionError"),
        ({"records": [ok("1"), "2"]}, "Lambda.FunctionError"),
        ({"records": [ok("1"), ok("2"), ok("2")]}, "Lambda.DuplicatedRecordId"),
    ],
)
def test_an_answer_that_breaks_the_contract_fails_every_record(
    monkeypatch: pytest.MonkeyPatch, answer: object, code: str
) -> None:
    done = answered(monkeypatch, answer)
    assert not done.records
    assert [(one.record, one.problem.code, one.attempts) for one in done.failed] == [
        (record, code, 1) for record in RECORDS
    ]


def test_only_the_record_without_an_answer_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    done = answered(monkeypatch, {"records": [ok("1"), ok("unknown")]})
    assert [record.data for record in done.records] == [b"done"]
    assert [(one.record.id, one.problem.code) for one in done.failed] == [("2", "Lambda.MissingRecordId")]


def test_a_dropped_record_needs_no_data(monkeypatch: pytest.MonkeyPatch) -> None:
    done = answered(monkeypatch, {"records": [ok("1"), {"recordId": "2", "result": "Dropped"}]})
    assert (len(done.records), done.failed, done.error) == (1, [], None)


def test_a_batch_fits_into_a_request_even_if_its_records_are_tiny() -> None:
    buffer = Buffer()
    for _ in range(20_000):
        buffer.add(Record(b"x"))
    sizes = [len(buffer.take(3)) for _ in range(2)]
    assert sum(sizes) == 20_000
    assert sizes[0] < 6 * 1024 * 1024 / 300
    assert (buffer.size, buffer.records) == (0, [])


@pytest.mark.parametrize(
    ("data", "parameters", "parts"),
    [
        (b'{"a":1} {"b":2}', {"SubRecordType": "JSON"}, [b'{"a":1}', b'{"b":2}']),
        (b'[{"a":1},{"b":2}]', {"SubRecordType": "JSON"}, [b'{"a":1}', b'{"b":2}']),
        (b"not json", {"SubRecordType": "JSON"}, [b"not json"]),
        (b"a####b", {"SubRecordType": "DELIMITED", "Delimiter": "IyMjIw=="}, [b"a", b"b"]),
        (b"1 " * 501, {"SubRecordType": "JSON"}, [b"1 " * 501]),
    ],
)
def test_records_in_a_record(data: bytes, parameters: dict[str, str], parts: list[bytes]) -> None:
    assert [one.data for one in deaggregated(Record(data), parameters)] == parts
