"""Rules with a schedule: they run at the pace of documented minutes.

The emulator runs them by the real clock, and looks at it every ten seconds.

Faithful to: a rate counts from the creation of the rule, which runs for the first time after one interval.
A cron expression is in UTC, and the rule runs at the beginning of the minute. A disabled rule does not run.
The event has the time for which it was scheduled.
Not to: the length of a minute, which is shortened (see `pace`). The clock of a rule starts with the time of
its creation, or of its new schedule. It runs ahead of the real one, and so do the times of its events. A rule
runs at most every quarter of a second; what was due in between is left out.

https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ministack.core.responses import new_uuid, request_scope
from ministack.services import eventbridge

from localaws.pace import shortened
from localaws.patching import changes, on_reset, replaces

logger = logging.getLogger("localaws.events")

Rule = dict[str, Any]
Key = tuple[str, str, str]
_TICK = 0.25
_MINUTE = 60


@dataclass
class Clock:
    """The clock of a rule, in seconds since 1970.

    Attributes:
        schedule: When the rule was created, and its expression.
        real: When the clock was looked at.
        now: What it showed then.
        due: When the rule runs next.
    """

    schedule: tuple[float, str]
    real: float
    now: float
    due: float | None

    def advance(self, real: float) -> float | None:
        """Return the time for which the rule was to run by now, the latest if there are several."""
        self.now += (real - self.real) * _MINUTE / shortened(_MINUTE)
        self.real = real
        latest = self.due
        expression = self.schedule[1]
        if latest is None or latest > self.now:
            return None
        interval = eventbridge._parse_rate_seconds(expression)
        if interval:
            latest += (self.now - latest) // interval * interval
        self.due = next_time(expression, latest if interval else self.now)
        return latest


def next_time(expression: str, after: float) -> float | None:
    """The first time after a time at which an expression is due."""
    interval: int | None = eventbridge._parse_rate_seconds(expression)
    if interval:
        return after + interval
    fields = eventbridge._parse_cron_fields(expression)
    if fields is None:
        return None
    found = eventbridge._cron_next_fire(fields, datetime.fromtimestamp(after, UTC))
    due: float | None = found and found.timestamp()
    return due


_clocks: dict[Key, Clock] = {}


@on_reset
def _forget() -> None:
    _clocks.clear()


@changes(eventbridge, "_SCHEDULER_TICK_INTERVAL")
def _tick_interval(_stock: float) -> float:
    return _TICK


@replaces(eventbridge, "_tick_scheduled_rules")
def _tick_scheduled_rules() -> None:
    rules = dict(eventbridge._rules._data)
    for key in _clocks.keys() - rules.keys():
        del _clocks[key]
    for key, rule in rules.items():
        if rule.get("ScheduleExpression"):
            try:
                _tick(key, rule, time.time())
            except Exception:
                logger.exception("%s cannot run", rule.get("Arn"))


def _tick(key: Key, rule: Rule, real: float) -> None:
    schedule = rule["CreationTime"], rule["ScheduleExpression"]
    clock = _clocks.get(key)
    if clock is None or clock.schedule != schedule:
        start = schedule[0] if clock is None else real
        clock = _clocks[key] = Clock(schedule, start, start, next_time(schedule[1], start))
    due = clock.advance(real)
    if due is not None and rule.get("State") == "ENABLED":
        _run(key, rule, due)


def _run(key: Key, rule: Rule, due: float) -> None:
    """Send the event of a rule to its targets."""
    account, region, _ = key
    event = {
        "EventId": new_uuid(),
        "Source": "aws.events",
        "DetailType": "Scheduled Event",
        "Detail": "{}",
        "EventBusName": rule.get("EventBusName", "default"),
        "Time": due,
        "Resources": [rule["Arn"]],
        "Account": account,
        "Region": region,
    }
    view = eventbridge._pattern_event_view(event)
    with request_scope(account, region):
        for target in list(eventbridge._targets._data.get(key, [])):
            try:
                eventbridge._invoke_target(target, event, rule, view)
            except Exception:
                logger.exception("%s cannot call %s", rule["Arn"], target.get("Arn"))
