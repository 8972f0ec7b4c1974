"""When a schedule is due: its expression in its time zone, between its dates.

The emulator reads all times as UTC, and a value out of range, such as minute 61, ends its clock for all
schedules and rules.

Faithful to: `at`, `rate` and `cron` in the time zone of the schedule, also when clocks change: a time
that does not exist is skipped, and a time that comes twice counts once. A rate is counted from its
StartDate, without one from its creation, when it is due for the first time. StartDate and EndDate.
Not to: flexible time windows, of which a schedule uses the first moment.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from ministack.services import eventbridge, scheduler

from localaws.patching import around

_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_RATE = re.compile(r"rate\(([1-9]\d*) (minute|hour|day)s?\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
_RANGES = ((0, 59), (0, 23), (1, 31), (1, 12), (1, 7), (1970, 2199))
_DAYS = (2, 4)  # of the month and of the week: only they may be `?`
_NAMES = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC|SUN|MON|TUE|WED|THU|FRI|SAT"


@around(eventbridge, "_parse_cron_fields")
def _parse_cron_fields(stock: Callable[[str], Any], expr: str) -> Any:
    """Refuse what is out of range, empty, or `?` where that is not allowed."""
    fields = expr.strip().removeprefix("cron(").removesuffix(")").split()
    if len(fields) != len(_RANGES) or [fields[day] for day in _DAYS].count("?") != 1:
        return None
    for place, (field, (low, high)) in enumerate(zip(fields, _RANGES, strict=True)):
        if field == "?" and place not in _DAYS:
            return None
        plain = re.sub(_NAMES, "", re.sub(r"[/#]\d+", "", field.upper()))
        if not all(low <= int(number) <= high for number in re.findall(r"\d+", plain)):
            return None
    parsed = stock(expr)
    if parsed is None or not all(parsed[place] for place in (0, 1, 3)) or parsed[5] == frozenset():
        return None
    return parsed


def is_valid(expression: str) -> bool:
    """Whether Scheduler accepts the expression."""
    if at := _AT.fullmatch(expression):
        try:
            datetime.fromisoformat(at[1])
        except ValueError:
            return False
        return True
    return bool(_RATE.fullmatch(expression)) or eventbridge._parse_cron_fields(expression) is not None


def first_time(schedule: dict[str, Any]) -> float | None:
    """When a schedule that was created or changed is due, in seconds since 1970."""
    zone = ZoneInfo(schedule["ScheduleExpressionTimezone"])
    if at := _AT.fullmatch(schedule["ScheduleExpression"]):
        return datetime.fromisoformat(at[1]).replace(tzinfo=zone).timestamp()
    return next_time(schedule, schedule["LastModificationDate"])


def next_time(schedule: dict[str, Any], after: float) -> float | None:
    """The first time at or after a time at which a schedule is due again."""
    expression, created = schedule["ScheduleExpression"], schedule["CreationDate"]
    begin = scheduler._to_epoch(schedule.get("StartDate")) or created
    after = max(after, begin)
    if _AT.fullmatch(expression):
        return None
    if rate := _RATE.fullmatch(expression):
        interval = int(rate[1]) * _SECONDS[rate[2]]
        due = begin + math.ceil((after - begin) / interval) * interval
    else:
        due = _next_of_cron(expression, ZoneInfo(schedule["ScheduleExpressionTimezone"]), after)
    end = scheduler._to_epoch(schedule.get("EndDate"))
    return None if due is None or (end is not None and due > end) else due


def _next_of_cron(expression: str, zone: ZoneInfo, after: float) -> float | None:
    fields = eventbridge._parse_cron_fields(expression)
    clock = datetime.fromtimestamp(after, zone).replace(tzinfo=None) - timedelta(seconds=1)
    while (found := eventbridge._cron_next_fire(fields, clock)) is not None:
        clock = found.replace(tzinfo=None)
        due: float = clock.replace(tzinfo=zone).timestamp()
        exists = datetime.fromtimestamp(due, zone).replace(tzinfo=None) == clock
        if exists and due >= after:
            return due
    return None
