"""Runs: each scheduled time has one report, and no two runs overlap, whatever crashes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from events.scheduled_function.reports import InvalidRun, Run
from events.scheduled_function.runs import LeaseLost, StillRunning
from tests.handlers.importing import import_handler
from tests.handlers.tables import make_table

ENVIRONMENT = {
    "TABLE_NAME": "reports",
    "RUNS_TABLE_NAME": "runs",
    "AWS_LAMBDA_FUNCTION_NAME": "report",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "none",
    "AWS_SECRET_ACCESS_KEY": "none",
}
ONE, TWO = "2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"


class Crash(BaseException):
    """The environment ends: nothing that comes after runs, as nothing catches it."""


@pytest.fixture
def function() -> Iterator[ModuleType]:
    """The handler's module, with empty tables, and no seconds added to its lease."""
    with mock_aws(), pytest.MonkeyPatch.context() as patch:
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        for table, key in (("reports", "scheduled_time"), ("runs", "id")):
            make_table(boto3.client("dynamodb"), table, key)
        module = import_handler("events.scheduled_function.handler", ENVIRONMENT)
        patch.setattr(module, "_CLOCKS_DIFFER", 0.0)
        yield module


def invoke(function: ModuleType, at: str = ONE, milliseconds: int = 3_000, **payload: Any) -> str:
    context = SimpleNamespace(
        function_name="report",
        memory_limit_in_mb=256,
        invoked_function_arn="arn:aws:lambda:::report",
        aws_request_id="1",
        get_remaining_time_in_millis=lambda: milliseconds,
    )
    event = {"scheduled_time": at, "execution_id": "e-1", "payload": payload}
    return str(function.handler(event, context)["outcome"])


def rows(table: str) -> dict[str, dict[str, Any]]:
    key = {"reports": "scheduled_time", "runs": "id"}[table]
    return {one[key]: one for one in boto3.resource("dynamodb").Table(table).scan()["Items"]}


def during_a_run(function: ModuleType, action: Any, milliseconds: int = 3_000) -> str:
    """Run, and do something after the report is written and before the run ends."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(function.time, "sleep", lambda _: action())
        return invoke(function, ONE, milliseconds)


def crash(function: ModuleType, milliseconds: int) -> None:
    def end() -> None:
        raise Crash

    with pytest.raises(Crash):
        during_a_run(function, end, milliseconds)


def test_a_scheduled_time_has_one_report_however_often_it_is_delivered(function: ModuleType) -> None:
    assert [invoke(function) for _ in range(3)] == ["done", "duplicate", "duplicate"]
    assert rows("reports")[ONE]["times"] == 1
    assert list(rows("runs")) == [f"report#{ONE}"]  # and no lease


def test_a_run_that_meets_another_one_is_tried_again_and_none_is_lost(function: ModuleType) -> None:
    def other_time() -> None:
        with pytest.raises(StillRunning, match=f"the run of {ONE} holds the lease"):
            nested(function, TWO)

    assert during_a_run(function, other_time) == "done"
    assert list(rows("reports")) == [ONE]
    assert invoke(function, TWO) == "done"
    assert sorted(rows("reports")) == sorted([ONE, TWO])


def nested(function: ModuleType, at: str) -> str:
    """Invoke the function in another environment, which has objects of its own."""
    mine, other = function.runs, type(function.runs)(function._dynamodb, "runs", "report")
    setattr(function, "runs", other)  # noqa: B010 - mypy knows no attributes of a module
    try:
        return invoke(function, at)
    finally:
        setattr(function, "runs", mine)  # noqa: B010


def test_a_duplicate_at_the_same_time_is_tried_again_later(function: ModuleType) -> None:
    def duplicate() -> None:
        with pytest.raises(StillRunning):
            nested(function, ONE)

    assert during_a_run(function, duplicate) == "done"
    assert rows("reports")[ONE]["times"] == 1


def test_a_crash_leaves_the_lease_until_it_expires_and_the_repeated_run_has_no_second_effect(
    function: ModuleType,
) -> None:
    crash(function, milliseconds=60_000)
    assert "report#lease" in rows("runs")
    with pytest.raises(StillRunning):
        invoke(function)
    boto3.resource("dynamodb").Table("runs").update_item(
        Key={"id": "report#lease"},
        UpdateExpression="SET held_until = held_until - :minute",
        ExpressionAttributeValues={":minute": 70},
    )
    assert invoke(function) == "done"
    assert rows("reports")[ONE]["times"] == 1
    assert list(rows("runs")) == [f"report#{ONE}"]


def test_an_error_gives_the_lease_back(function: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_run: Run) -> bool:
        raise RuntimeError

    with monkeypatch.context() as patch:
        patch.setattr(function.reports, "write", fail)
        with pytest.raises(RuntimeError):
            invoke(function)
    assert rows("runs") == {}
    assert invoke(function) == "done"


def test_a_run_that_lost_its_lease_says_so_and_leaves_that_of_the_other(function: ModuleType) -> None:
    lost: list[str] = []

    def take_over() -> None:
        time.sleep = sleep
        time.sleep(0.06)  # until after the lease
        other = type(function.runs)(function._dynamodb, "runs", "report")
        lost.append(other.start(TWO, seconds=60))

    sleep = time.sleep
    with pytest.raises(LeaseLost):
        during_a_run(function, take_over, milliseconds=50)
    assert lost == ["started"]
    assert rows("runs")["report#lease"]["scheduled_time"] == TWO
    function.runs.release()
    assert "report#lease" in rows("runs")


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (None, "must be an object"),
        ({"payload": []}, "with an object as payload"),
        ({"execution_id": "1"}, "scheduled_time must be a time"),
        ({"scheduled_time": "0001-01-01T00:00:00+01:00", "execution_id": "1"}, "scheduled_time must be"),
        ({"scheduled_time": "<aws.scheduler.scheduled-time>", "execution_id": "1"}, "scheduled_time must be"),
        ({"scheduled_time": ONE}, "execution_id"),
        ({"scheduled_time": ONE, "execution_id": "1", "payload": {"pause": 61}}, "payload.pause must be"),
    ],
)
def test_an_event_that_is_not_of_the_schedule_is_refused(event: object, message: str) -> None:
    with pytest.raises(InvalidRun, match=message):
        Run.parse(event)


@settings(max_examples=50)
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "scheduled_time": st.none() | st.text() | st.integers() | st.just(ONE),
            "execution_id": st.none() | st.text(max_size=300) | st.integers(),
            "payload": st.none() | st.dictionaries(st.just("pause"), st.floats() | st.booleans()),
        },
    )
)
def test_whatever_is_sent_is_a_run_or_an_invalid_one(event: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidRun):
        assert 0 <= Run.parse(event).pause <= 60
