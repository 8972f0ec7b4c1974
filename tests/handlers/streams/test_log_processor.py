"""Batches of log events: what is a problem, what belongs together, and that nothing counts twice."""

from __future__ import annotations

import base64
import gzip
import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from streams.log_processor.batches import MOST_BYTES, NotABatch, check, problems, read
from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table

ENVIRONMENT = {
    "TABLE_NAME": "findings",
    "POWERTOOLS_METRICS_NAMESPACE": "Logs",
    "POWERTOOLS_SERVICE_NAME": "log-processor",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
NOW = int(time.time()) // 60 * 60_000  # the beginning of a minute
FIRST, SECOND = (f"{datetime.fromtimestamp(NOW / 1000 + more, UTC):%Y-%m-%dT%H:%MZ}" for more in (0, 60))


class Context(SimpleNamespace):
    """Lambda's context object."""

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


CONTEXT = Context(
    function_name="f",
    memory_limit_in_mb=128,
    invoked_function_arn="arn:aws:lambda:::f",
    aws_request_id="1",
    function_version="$LATEST",
)


def events(*messages: str, start: int = 1, at: int = NOW) -> list[dict[str, Any]]:
    return [
        {"id": f"{number:056}", "timestamp": at, "message": message}
        for number, message in enumerate(messages, start)
    ]


def payload(log_events: Any, **changed: Any) -> dict[str, Any]:
    envelope = {
        "messageType": "DATA_MESSAGE",
        "owner": "123456789012",
        "logGroup": "/app/shop",
        "logStream": "a",
        "subscriptionFilters": ["f"],
        "logEvents": log_events,
        **changed,
    }
    return packed(json.dumps(envelope).encode())


def packed(text: bytes) -> dict[str, Any]:
    return {"awslogs": {"data": base64.b64encode(gzip.compress(text)).decode()}}


class Function:
    """The handler, with an empty table, and what it has sent."""

    def __init__(self, module: ModuleType, queue: str) -> None:
        self.module, self._queue = module, queue

    def run(self, event: Any) -> None:
        self.module.handler(event, CONTEXT)

    def numbers(self) -> dict[str, int]:
        items = boto3.client("dynamodb").scan(TableName="findings")["Items"]
        return {
            one["entry"]["S"].partition("#")[2]: int(one["problems"]["N"])
            for one in items
            if "problems" in one
        }

    def sent(self) -> list[dict[str, Any]]:
        answer = boto3.client("sqs").receive_message(QueueUrl=self._queue, MaxNumberOfMessages=10)
        return [json.loads(one["Body"]) for one in answer.get("Messages", [])]


@pytest.fixture
def function() -> Iterator[Function]:
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        make_table(boto3.client("dynamodb"), "findings", "log_group", "entry")
        sqs, sns = boto3.client("sqs"), boto3.client("sns")
        queue = sqs.create_queue(QueueName="q")["QueueUrl"]
        topic = sns.create_topic(Name="alerts")["TopicArn"]
        arn = "arn:aws:sqs:eu-west-1:123456789012:q"
        raw = {"RawMessageDelivery": "true"}
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes=raw)
        patch.setenv("ALERTS_TOPIC_ARN", topic)
        patch.setenv("FAILURE_QUEUE_URL", queue)
        yield Function(import_handler("streams.log_processor.handler", {}), queue)


TRACE = (
    "ERROR could not pay",
    "Traceback (most recent call last):",
    '  File "pay.py", line 1, in pay',
    "decimal.InvalidOperation: x",  # ends neither in Error nor in Exception
)


@pytest.mark.parametrize(
    ("messages", "found"),
    [
        (["all is well", "INFO ERRORS: 0", "ERRORCODE"], []),
        (["[ERROR] one", "FATAL two"], [1, 1]),
        (['{"level": "ERROR", "message": "x"}', '{"level": "INFO", "message": "no ERROR"}'], [1]),
        (['{"level": "critical"}', '{"level": "Fatal"}', '{"level": "Info", "message": "Error"}'], [1, 1]),
        (['{"log_level": "error", "message": "ERROR"}', '{"level": 5, "message": "ERROR"}'], [1]),
        (['{"level": "ERROR"', "{" * 100_000 + "ERROR"], [1, 1]),
        (["Task timed out after 3.00 seconds"], [1]),
        (["ERROR x", "  at a", "\tat b", "INFO y", "  indented"], [3]),
        (["ERROR x", "Traceback (most recent call last):", "  File", "ValueError: y", "INFO"], [4]),
        (["INFO", "Traceback (most recent call last):", "  File", "a.b.OddError", "ERROR z"], [3, 1]),
        (["java.lang.X: ERROR", "\tat a", "Caused by: b", "\t... 3 more"], [4]),
        (["  indented first", "ERROR x"], [1]),
        (["ERROR a", "  ERROR b", ' {"level":"ERROR","message":"c"}', "  FATAL d"], [1, 1, 1, 1]),
        (["ERROR a", "\t2026-11-27 18:05:01,123 [ERROR] b", "  [18:05:01] FATAL: c"], [1, 1, 1]),
        (["ERROR a", "  at b", "  INFO c", "  d", ' {"level": "INFO", "message": "ERROR"}', "  e"], [2]),
        (["ERROR a", "    ERROR = 5", "    ERROR.raise_it()", '    {"a": 1}', "    NO_ERROR"], [5]),
        (["ERROR a", " 1" + " " * 250_000 + "x"], [2]),  # what is quadratic takes minutes
        (["ERROR a", " ERROR b", "  at c", ' Exception in thread "main" X', "  at d"], [1, 2, 2]),
        ([*2 * ("Traceback (most recent call last):", "  File", "KeyError: 'ERROR'")], [3, 3]),
        (list(TRACE), [3]),
    ],
)
def test_problems_are_joined_with_their_stack_traces(messages: Sequence[str], found: Sequence[int]) -> None:
    assert [len(one.lines) for one in problems(events(*messages))] == list(found)


def test_a_summary_is_short_and_storable() -> None:
    (one,) = problems(events('{"level": "ERROR", "message": "a\\ud800' + "b" * 999 + '"}'))
    assert one.summary == "a?" + "b" * 298
    assert one.minute == FIRST


@pytest.mark.parametrize(
    ("message", "summary"),
    [
        ('{"level": "ERROR", "message": "\\nreal reason"}', "real reason"),
        ('{"level": "ERROR", "message": "\\r\\n \\n  real reason\\r\\nmore"}', "real reason"),
        ('{"level": "ERROR", "message": " \\n", "errorMessage": "real reason"}', "real reason"),
        ('{"level": "ERROR", "message": ""}', '{"level": "ERROR", "message": ""}'),
        ("\n  ERROR a", "ERROR a"),
    ],
)
def test_a_summary_is_the_first_line_that_says_something(message: str, summary: str) -> None:
    (one,) = problems(events(message))
    assert one.summary == summary


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({}, "another form"),
        ({"awslogs": {"data": "!"}}, "its data is not base64"),
        ({"awslogs": {"data": "\u00e9"}}, "its data is not base64"),
        ({"awslogs": {"data": ""}}, "its data is empty"),
        ({"awslogs": {"data": 5}}, "another form"),
        ({"awslogs": {"data": base64.b64encode(b"no gzip").decode()}}, "another form"),
        (packed(b"no JSON"), "not JSON"),
        (packed(b"[]"), "another form"),
        (packed(b"\xff"), "not JSON"),
        (payload({}), "of the type"),
        (payload([], messageType="OTHER"), "of the type 'OTHER'"),
        (payload([], logGroup=""), "no log group"),
        (packed(b" " * (MOST_BYTES + 1)), "more than 20,971,520 bytes"),
        ({"awslogs": {"data": base64.b64encode(gzip.compress(b"{}")[:-4]).decode()}}, "it is cut off"),
        ({"awslogs": {"data": base64.b64encode(2 * gzip.compress(b"{}")).decode()}}, "something follows"),
    ],
)
def test_what_is_no_batch_says_why(given: Any, reason: str) -> None:
    with pytest.raises(NotABatch, match=reason):
        read(given)


@pytest.mark.parametrize(
    "broken",
    [
        "x",
        {"id": 1, "timestamp": NOW, "message": ""},
        {"id": "1", "timestamp": "now", "message": ""},
        {"id": "1", "timestamp": True, "message": ""},
        {"id": "1", "timestamp": 10**20, "message": ""},
        {"id": "1", "timestamp": NOW},
    ],
)
def test_a_broken_event_says_what_it_lacks(broken: Any) -> None:
    assert check(broken)


def test_a_batch_counts_once_however_often_it_is_delivered(
    function: Function, capsys: pytest.CaptureFixture[str]
) -> None:
    batch = payload([*events("ERROR a", "INFO", "ERROR b"), *events("ERROR c", start=9, at=NOW + 60_000)])
    for _ in range(3):
        function.run(batch)
    assert function.numbers() == {FIRST: 2, SECOND: 1}
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    metrics = [(one["_aws"]["Timestamp"] - NOW, one["Problems"]) for one in lines if "_aws" in one]
    assert metrics == [(0, [2.0]), (60_000, [1.0])] * 3
    assert all("ERROR a" not in json.dumps(one) for one in lines)
    alerts = function.sent()
    assert [(one["minute"], one["first"]) for one in alerts] == [
        (FIRST, "ERROR a"),
        (SECOND, "ERROR c"),
    ]


def test_an_event_that_comes_again_in_another_batch_counts_once(function: Function) -> None:
    many = [f"ERROR {number}" for number in range(110)]
    function.run(payload(events(*many[:100])))
    function.run(payload(events(*many[60:], start=61)))
    assert function.numbers() == {FIRST: 110}


def test_a_crash_after_the_count_loses_no_alert(function: Function, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = payload(events("ERROR a"))
    with monkeypatch.context() as patch:
        patch.setattr(function.module.findings._sns, "publish", lambda **_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            function.run(batch)
    function.run(payload(events("ERROR b", start=5)))
    assert not function.sent()
    function.run(batch)
    assert [one["first"] for one in function.sent()] == ["ERROR a"]
    assert function.numbers() == {FIRST: 2}


def test_a_broken_event_costs_only_itself(function: Function) -> None:
    function.run(payload([{"id": "x", "message": "ERROR"}, *events("ERROR a")]))
    assert function.numbers() == {FIRST: 1}
    (failed,) = (one for one in function.sent() if "requestPayload" in one)
    assert failed["responsePayload"]["errorType"] == "NotALogEvent"
    found = read(failed["requestPayload"])
    assert found is not None
    assert found.events == [{"id": "x", "message": "ERROR"}]


def test_control_messages_and_what_is_no_batch(function: Function) -> None:
    control = {"messageType": "CONTROL_MESSAGE", "owner": "CloudwatchLogs", "logGroup": "", "logStream": ""}
    function.run(payload(events("CWL CONTROL MESSAGE: ERROR"), **control))
    with pytest.raises(NotABatch):
        function.run({})
    assert not function.numbers()
