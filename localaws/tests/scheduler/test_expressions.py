"""When schedules are due, in their time zone and between their dates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from localaws.services.scheduler.expressions import first_time, next_time

BERLIN = "Europe/Berlin"


def seconds(text: str) -> float:
    """A time in UTC, in seconds since 1970."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def schedule(expression: str, zone: str = "UTC", created: str = "2026-01-01T00:00:00", **more: Any) -> Any:
    """A schedule."""
    dates = {"CreationDate": seconds(created), "LastModificationDate": seconds(created)}
    return {"ScheduleExpression": expression, "ScheduleExpressionTimezone": zone, **dates, **more}


def times(made: dict[str, Any], count: int) -> list[str]:
    """The first times of a schedule, in UTC."""
    found: list[str] = []
    due = first_time(made)
    while due is not None and len(found) < count:
        found.append(datetime.fromtimestamp(due, UTC).strftime("%m-%dT%H:%M:%S"))
        due = next_time(made, due + 1)
    return found


def test_a_rate_counts_from_the_creation_or_the_start() -> None:
    assert times(schedule("rate(2 hours)"), 3) == ["01-01T00:00:00", "01-01T02:00:00", "01-01T04:00:00"]
    started = schedule("rate(1 day)", StartDate=seconds("2026-01-05T10:00:00"))
    assert times(started, 2) == ["01-05T10:00:00", "01-06T10:00:00"]
    ended = schedule("rate(1 hour)", EndDate=seconds("2026-01-01T01:30:00"))
    assert times(ended, 5) == ["01-01T00:00:00", "01-01T01:00:00"]


def test_a_time_counts_once_in_its_zone() -> None:
    assert times(schedule("at(2026-07-01T12:00:00)", BERLIN), 3) == ["07-01T10:00:00"]


def test_the_wall_clock_stays_the_same_in_summer() -> None:
    made = schedule("cron(0 3 * * ? *)", BERLIN, created="2026-03-28T00:00:00")
    assert times(made, 3) == ["03-28T02:00:00", "03-29T01:00:00", "03-30T01:00:00"]


def test_a_time_that_does_not_exist_is_skipped() -> None:
    made = schedule("cron(30 2 * * ? *)", BERLIN, created="2026-03-28T00:00:00")
    assert times(made, 2) == ["03-28T01:30:00", "03-30T00:30:00"]


def test_a_time_that_comes_twice_counts_once() -> None:
    made = schedule("cron(30 2 * * ? *)", BERLIN, created="2026-10-25T00:00:00")
    assert times(made, 2) == ["10-25T00:30:00", "10-26T01:30:00"]


@pytest.mark.parametrize(
    ("expression", "due"),
    [
        ("cron(0 8 L * ? *)", "01-31T08:00:00"),
        ("cron(15 10 ? * 6L *)", "01-30T10:15:00"),
        ("cron(0 9 ? * 2#1 *)", "01-05T09:00:00"),
        ("cron(0/20 12 ? * MON *)", "01-05T12:00:00"),
        ("cron(0 0 1 1 ? *)", "01-01T00:00:00"),
    ],
)
def test_a_cron_expression_is_due(expression: str, due: str) -> None:
    assert times(schedule(expression), 1) == [due]


def test_a_year_in_the_past_is_never_due() -> None:
    assert times(schedule("cron(0 0 1 1 ? 2020)"), 1) == []
