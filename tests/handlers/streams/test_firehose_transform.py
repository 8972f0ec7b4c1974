"""The transformation of records: each is answered once, and what does not fit is put again."""

import base64
import gzip
import json
import tracemalloc
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.firehose_transform.lines import Converted, NotALine, convert
from streams.firehose_transform.reingestion import MOST_ROUNDS, Marked, marked, put_again, unmarked
from tests.handlers.importing import import_handler

CONTEXT = SimpleNamespace(function_name="f", get_remaining_time_in_millis=lambda: 60_000)
STREAM = "arn:aws:firehose:eu-west-1:123456789012:deliverystream/lines"
LINE = b'shop.example.com:443 10.0.0.1 - - [27/Nov/2026:10:30:00 +0100] "GET /cart?a=1 HTTP/2.0" 200 512'
AS_JSON = {
    "site": "shop.example.com",
    "client": "10.0.0.1",
    "time": "2026-11-27T09:30:00Z",
    "method": "GET",
    "path": "/cart?a=1",
    "status": 200,
    "bytes": 512,
}


class Firehose:
    """A client that takes records, or refuses some."""

    def __init__(self, *refused: bytes, times: int = 1, error: Exception | None = None) -> None:
        self.taken: list[bytes] = []
        self.calls: list[int] = []
        self._refused, self._times, self._error = set(refused), times, error

    def put_record_batch(self, *, DeliveryStreamName: str, Records: list[Any]) -> dict[str, Any]:  # noqa: N803
        """Take the records."""
        assert DeliveryStreamName == "lines"
        self.calls.append(len(Records))
        if self._error:
            raise self._error
        responses = []
        for record in Records:
            refused = record["Data"] in self._refused and len(self.calls) <= self._times
            responses.append({"ErrorCode": "ServiceUnavailableException"} if refused else {"RecordId": "1"})
            if not refused:
                self.taken.append(record["Data"])
        return {"FailedPutCount": sum("ErrorCode" in one for one in responses), "RequestResponses": responses}


@pytest.fixture(scope="module")
def function() -> ModuleType:
    """The handler's module."""
    return import_handler("streams.firehose_transform.handler", {"AWS_DEFAULT_REGION": "eu-west-1"})


@pytest.fixture
def firehose(function: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Firehose:
    """The client of the handler."""
    client = Firehose()
    monkeypatch.setattr(function, "firehose", client)
    return client


def answers(function: ModuleType, *data: bytes, context: object = CONTEXT) -> list[dict[str, Any]]:
    """What the handler answers."""
    records = [
        {"recordId": f"{number:062}", "data": base64.b64encode(one).decode()}
        for number, one in enumerate(data)
    ]
    answer = function.handler({"deliveryStreamArn": STREAM, "records": records}, context)
    assert [one["recordId"] for one in answer["records"]] == [one["recordId"] for one in records]
    assert len(json.dumps(answer)) < 6 * 1024 * 1024
    found: list[dict[str, Any]] = answer["records"]
    return found


def results(function: ModuleType, *data: bytes) -> list[str]:
    """The result of each record."""
    return [one["result"] for one in answers(function, *data)]


def packed(size: int, number: int = 0) -> bytes:
    """A record with one line that has this many bytes when it is decompressed."""
    line = json.dumps({"site": "shop.example.com", "number": number, "text": ""}).encode()
    return gzip.compress(line[:-2] + b"x" * (size - len(line)) + line[-2:], mtime=0)


def test_each_record_is_answered_by_itself(function: ModuleType, firehose: Firehose) -> None:
    found = answers(
        function, LINE, b"no line", LINE.replace(b"/cart?a=1", b"/health"), b'{"site":"a.example"}'
    )
    assert [one["result"] for one in found] == ["Ok", "ProcessingFailed", "Dropped", "Ok"]
    assert json.loads(base64.b64decode(found[0]["data"])) == AS_JSON
    assert found[0]["metadata"] == {"partitionKeys": {"site": "shop.example.com"}}
    assert base64.b64decode(found[3]["data"]) == b'{"site":"a.example"}\n'
    assert not firehose.calls


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"site": "a.b", "x": 1}\n', Converted("a.b", b'{"site": "a.b", "x": 1}\n')),
        (b'{"site": "a.b",\n"x": 1}', Converted("a.b", b'{"site": "a.b", "x": 1}\n')),
        (
            b'{"site":"a.b",\r\n"x":1.00000000000000000001}',
            Converted("a.b", b'{"site":"a.b",  "x":1.00000000000000000001}\n'),
        ),
        (b'{"site": "A.b"}', Converted("a.b", b'{"site": "A.b"}\n')),
        (b'{"site": "a.b", "path": "/health"}', Converted("", b"")),
        (gzip.compress(b'{"site":"a.b"}\n\n{"site":"a.b"}'), Converted("a.b", b'{"site":"a.b"}\n' * 2)),
        (gzip.compress(b'{"site":"a.b"}\n') * 2, Converted("a.b", b'{"site":"a.b"}\n' * 2)),
        (gzip.compress(b""), Converted("", b"")),
        (gzip.compress(LINE.replace(b"/cart?a=1", b"/health")), Converted("", b"")),
    ],
)
def test_a_record_is_converted(data: bytes, expected: Converted) -> None:
    assert convert(data) == expected


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (b"10/Oct/0099:13:55:36 +0000", "0099-10-10T13:55:36Z"),
        (b"27/Nov/2026:23:30:00 -0130", "2026-11-28T01:00:00Z"),
    ],
)
def test_the_time_of_a_line_becomes_utc(time: bytes, expected: str) -> None:
    line = LINE.replace(b"27/Nov/2026:10:30:00 +0100", time).replace(b"shop", b"Shop")
    assert json.loads(convert(line).text) == AS_JSON | {"time": expected}


def test_the_quoted_fields_of_a_line_may_have_quotes() -> None:
    line = LINE.replace(b"/cart?a=1", rb"/\"a\"") + rb' "https://b.example/" "an \"agent\""'
    assert json.loads(convert(line).text)["path"] == r"/\"a\""


def test_a_long_line_that_does_not_match_is_soon_refused() -> None:
    with pytest.raises(NotALine):
        convert(LINE.replace(b"/cart", b"/" + b"x" * 900_000) + b" more")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "neither a JSON object nor"),
        (b"\xff\xfe", "neither a JSON object nor"),
        (b"[1]", "neither a JSON object nor"),
        (b'{"site": NaN}', "not JSON"),
        (b'{"site": "../../etc"}', "no host name"),
        (b'{"site": "a/b"}', "no host name"),
        (b'{"path": "/"}', "no host name"),
        (b'{"site": "a..b"}', "no host name"),
        (b'{"site": "' + b"a" * 64 + b'.b"}', "no host name"),
        (LINE.replace(b"Nov", b"Foo"), "time"),
        (LINE.replace(b"27/Nov/2026:10:30:00", b"01/Jan/0001:00:00:00"), "time"),
        (LINE.replace(b"27/Nov/2026:10:30:00 +", b"31/Dec/9999:23:59:59 -"), "time"),
        (LINE.replace(b"512", b"9" * 5_000), "neither a JSON object nor"),
        (LINE.replace(b"shop.example.com", b"SHOP_1"), "no host name"),
        (gzip.compress(b'{"site":"a.b"}\n{"site":"b.c"}'), "several sites"),
        (gzip.compress(b'{"site":"a.b"}\nno line'), "neither"),
        (gzip.compress(LINE)[:-9], "cut off"),
        (b"\x1f\x8bno gzip file", "no gzip file"),
        (gzip.compress(b"x" * 4_500_001), "4,500,000"),
    ],
)
def test_a_record_that_is_no_line_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(NotALine, match=reason):
        convert(data)


def test_what_does_not_fit_is_put_again_and_comes_back_until_all_is_answered(
    function: ModuleType, firehose: Firehose
) -> None:
    waiting, delivered, rounds = [packed(2_500_000, number) for number in range(5)], 0, 0
    while waiting:
        rounds += 1
        found = answers(function, *waiting)
        done = [one["result"] for one in found].count("Ok")
        assert done >= 1
        assert [one["result"] for one in found].count("Dropped") == len(firehose.taken)
        delivered, waiting = delivered + done, list(firehose.taken)
        assert {unmarked(one).rounds for one in waiting} <= {rounds}
        firehose.taken.clear()
    assert (delivered, rounds) == (5, 5)


def test_tiny_records_fill_an_answer_with_their_ids_and_some_of_them_are_answered(
    function: ModuleType, firehose: Firehose
) -> None:
    found = results(function, *[b'{"site":"a.b"}'] * 40_000)  # about as many as fit into a request
    assert found.count("Ok") > 10_000
    assert found.count("Dropped") == len(firehose.taken) > 0


def test_what_does_not_fit_takes_no_memory(function: ModuleType, firehose: Firehose) -> None:
    records = [packed(4_000_000, number) for number in range(20)]
    tracemalloc.start()
    try:
        assert results(function, *records).count("Dropped") == 19
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 50_000_000  # of 100 million bytes of answers


def test_once_an_answer_is_full_compressed_records_are_put_again_without_converting_them(
    function: ModuleType, firehose: Firehose, monkeypatch: pytest.MonkeyPatch
) -> None:
    converted: list[bytes] = []

    def noted(data: bytes) -> Converted:
        converted.append(data)
        return convert(data)

    monkeypatch.setattr(function, "convert", noted)
    found = results(function, *[packed(2_500_000, number) for number in range(10, 30)], LINE)
    assert (found.count("Dropped"), found.count("Ok"), found[-1]) == (19, 2, "Ok")
    assert len(converted) == 3  # the line, what fits, and what does not


def test_once_half_of_the_time_is_over_compressed_records_are_put_again(
    function: ModuleType, firehose: Firehose
) -> None:
    times = iter([60_000, 29_000, 28_000, 27_000])
    context = SimpleNamespace(function_name="f", get_remaining_time_in_millis=lambda: next(times))
    records = [gzip.compress(b'{"site":"a.b"}'), gzip.compress(b'{"site":"longer.b"}'), LINE, LINE]
    found = [one["result"] for one in answers(function, *records, context=context)]
    assert found == ["Ok", "Dropped", "Ok", "Ok"]
    assert len(firehose.taken) == 1


def test_a_fault_of_the_conversion_costs_one_record_only(
    function: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(function, "convert", lambda data: convert(data) if data == LINE else 1 / 0)
    assert results(function, b"strange", LINE) == ["ProcessingFailed", "Ok"]


def test_what_has_waited_longest_is_answered_first(function: ModuleType, firehose: Firehose) -> None:
    second = marked(Marked(packed(2_500_000), 1))
    assert second is not None
    assert results(function, packed(2_500_000), second, packed(2_500_000)) == ["Dropped", "Ok", "Dropped"]


def test_a_record_that_is_too_long_for_any_answer_has_failed(
    function: ModuleType, firehose: Firehose
) -> None:
    assert results(function, packed(5_000_000), LINE) == ["ProcessingFailed", "Ok"]
    assert not firehose.calls


def test_a_record_that_was_put_again_too_often_has_failed(function: ModuleType, firehose: Firehose) -> None:
    worn = b"\x00again:%02d\x00" % MOST_ROUNDS + packed(2_500_000)
    assert results(function, worn, worn, worn) == ["Ok", "ProcessingFailed", "ProcessingFailed"]


def test_what_cannot_be_put_again_has_failed(function: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function, "firehose", Firehose(error=PermissionError("not authorized")))
    big = packed(2_500_000)
    assert results(function, big, big, LINE) == ["Ok", "ProcessingFailed", "Ok"]


def test_only_records_that_firehose_did_not_take_are_put_a_second_time() -> None:
    firehose, pauses = Firehose(b"b"), list[float]()
    assert put_again(firehose, "lines", [b"a", b"b", b"c"], pauses.append)[0] == set()
    assert (firehose.taken, firehose.calls, len(pauses)) == ([b"a", b"c", b"b"], [3, 1], 1)


def test_records_that_firehose_never_takes_are_left() -> None:
    firehose = Firehose(b"b", times=99)
    left, error = put_again(firehose, "lines", [b"a", b"b"], lambda _: None)
    assert (left, error, len(firehose.calls)) == ({1}, "ServiceUnavailableException", 4)


def test_a_call_takes_500_records_and_4_megabytes() -> None:
    firehose = Firehose()
    put_again(firehose, "lines", [b"x"] * 501 + [b"x" * 1_000_000] * 5)
    assert firehose.calls == [500, 5, 1]


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 60))
def test_a_mark_is_read_as_it_was_written(data: bytes, rounds: int) -> None:
    again = marked(Marked(data, rounds))
    assert again is None if rounds >= MOST_ROUNDS else unmarked(again or b"") == Marked(data, rounds + 1)
