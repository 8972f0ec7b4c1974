"""Rules with a schedule: when they run, and what their targets get."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import pytest

from helpers.lambda_functions import Functions
from localaws import pace
from localaws.services.events.schedules import Clock, next_time

EVENTS = "events.amazonaws.com"
CREATED = datetime(2026, 1, 5, 12, 0, 30, tzinfo=UTC).timestamp()  # a Monday


@pytest.mark.parametrize(
    ("expression", "minutes", "expected"),
    [
        ("rate(1 minute)", [0.9, 1, 1.5, 2], [None, "12:01:30", None, "12:02:30"]),
        (
            "rate(5 minutes)",
            [4, 5, 9, 21],
            [None, "12:05:30", None, "12:20:30"],
        ),  # what was missed is left out
        ("rate(1 day)", [1439, 1440], [None, "12:00:30"]),
        ("cron(* * * * ? *)", [0.4, 0.5, 1.4, 1.6], [None, "12:01:00", None, "12:02:00"]),
        ("cron(0 18 ? * MON-FRI *)", [359, 360, 1000, 1800], [None, "18:00:00", None, "18:00:00"]),
        ("cron(0 18 1 1 ? 2025)", [1, 9_000_000], [None, None]),
    ],
)
@pytest.mark.parametrize("seconds", [2, 0.1])
def test_a_rule_runs_at_the_pace_of_documented_minutes(
    expression: str, minutes: list[float], expected: list[str | None], seconds: float
) -> None:
    clock = Clock((CREATED, expression), CREATED, CREATED, next_time(expression, CREATED))
    before = pace.change(seconds)
    try:
        # A millisecond more, for what rounding takes away.
        due = [clock.advance(CREATED + seconds * minute + 0.001 * seconds) for minute in minutes]
    finally:
        pace.change(before)
    found = [one and datetime.fromtimestamp(one, UTC).strftime("%H:%M:%S") for one in due]
    assert found == expected


@pytest.mark.local
@pytest.mark.parametrize(
    ("expression", "second"), [("rate(1 minute)", None), ("cron(* * * * ? *)", "00")], ids=["rate", "cron"]
)
def test_the_targets_of_a_rule_get_the_documented_event(
    functions: Functions, expression: str, second: str | None
) -> None:
    queue, events, name = (
        functions.queue(writable_by=EVENTS),
        functions.aws.client("events"),
        uuid.uuid4().hex,
    )
    with functions.aws.paced(0.5):
        rule = events.put_rule(Name=name, ScheduleExpression=expression)["RuleArn"]
        events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": queue.arn}])
        event: dict[str, Any] = queue.wait_for_body()
        assert queue.wait_for_body()["time"] > event["time"]
    events.remove_targets(Rule=name, Ids=["1"])
    events.delete_rule(Name=name)
    assert event["time"][-3:-1] == (second or event["time"][-3:-1])
    assert (event["source"], event["detail-type"], event["detail"]) == ("aws.events", "Scheduled Event", {})
    assert event["resources"] == [rule]
