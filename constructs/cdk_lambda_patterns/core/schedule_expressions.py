"""Schedule expressions of EventBridge Scheduler and Auto Scaling, checked when a construct is made."""

import calendar
import functools
import re
import zoneinfo
from datetime import datetime

from aws_cdk import Token
from aws_cdk import aws_scheduler as scheduler

# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)", re.ASCII)
_RATE = re.compile(r"rate\([1-9]\d* (minute|hour|day)s?\)", re.ASCII)
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
# The fields of a cron expression: lowest and highest number, their names, and what else a part may be.
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based
_FIELDS: dict[str, tuple[int, int, list[str], str]] = {
    "minutes": (0, 59, [], ""),
    "hours": (0, 23, [], ""),
    "day of month": (1, 31, [], r"L|LW|L-(?P<back>\d+)|(?P<nearest>\d+)W"),
    "month": (1, 12, _MONTHS, ""),
    "day of week": (1, 7, _DAYS, r"L|(?P<last>\w+)L|(?P<nth>\w+)#[1-5]"),
    "year": (1970, 2199, [], ""),
}
_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<second>\w+))?)(?:/(?P<step>[1-9]\d*))?", re.ASCII)


def check_expression(schedule: scheduler.ScheduleExpression, service: str = "Scheduler") -> None:
    """Check that a service accepts an expression and its time zone; tokens pass.

    Args:
        schedule: What was given as ``schedule``.
        service: The service, for the error.

    Raises:
        ValueError: It is malformed or out of range.
    """
    expression = schedule.expression_string
    zone = schedule.time_zone.timezone_name if schedule.time_zone else "UTC"
    known = _time_zones()
    if known and zone not in known and not Token.is_unresolved(zone):
        raise ValueError(
            f"time_zone={zone!r}: it is not in the IANA database; give a name such as 'Europe/Berlin'."
        )
    if Token.is_unresolved(expression) or _RATE.fullmatch(expression):
        return
    if expression.startswith("cron(") and expression.endswith(")"):
        _check_cron(expression, service)
        return
    if not (at := _AT.fullmatch(expression)):
        raise ValueError(
            f"schedule={expression!r}: {service} allows rate(5 minutes), with a whole number from 1 and "
            "minutes, hours or days; cron(minutes hours day-of-month month day-of-week year); and "
            "at(2030-12-31T23:59:59). Give one of these."
        )
    try:
        datetime.fromisoformat(at[1])
    except ValueError as error:
        raise ValueError(f"schedule={expression!r}: {error}; give a time that exists.") from None


@functools.cache
def _time_zones() -> frozenset[str]:
    """The names in the database of time zones, which reads a thousand files; none where Python finds none."""
    return frozenset(zoneinfo.available_timezones())


def has_passed(schedule: scheduler.ScheduleExpression) -> bool:
    """Whether the time, or the years, of an expression that `check_expression` accepts have passed."""
    expression = schedule.expression_string
    zone = schedule.time_zone.timezone_name if schedule.time_zone else "UTC"
    if zone not in _time_zones():
        return False
    now = datetime.now(zoneinfo.ZoneInfo(zone))
    if at := _AT.fullmatch(expression):
        return datetime.fromisoformat(at[1]).replace(tzinfo=now.tzinfo) < now
    if not expression.startswith("cron("):
        return False
    parts = expression[:-1].split()[-1].split(",")
    return all(max(_numbers(part, *_FIELDS["year"]) or {now.year}) < now.year for part in parts)


def _check_cron(expression: str, service: str) -> None:
    fields = expression[len("cron(") : -1].split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"schedule={expression!r}: {len(fields)} fields; give six: {', '.join(_FIELDS)} (unlike Unix, "
            "with a year)."
        )
    if [fields[2], fields[4]].count("?") != 1:
        raise ValueError(
            f"schedule={expression!r}: day of month is {fields[2]} and day of week is {fields[4]}; {service} "
            "requires ? in exactly one of them."
        )
    values: dict[str, set[int]] = {}
    for field, (name, (low, high, names, more)) in zip(fields, _FIELDS.items(), strict=True):
        parts = [] if field == "?" and more else field.upper().split(",")
        numbers = [_numbers(part, low, high, names, more) for part in parts]
        if not all(numbers):
            spelled = f" or {names[0]} to {names[-1]}" if names else ""
            raise ValueError(
                f"schedule={expression!r}: {name} is {field}; {service} allows {low} to {high}{spelled}, "
                "lists (1,2), ranges (1-5), steps (0/15) and *"
                + (", and ? for days; L, W and # as documented." if more else ".")
            )
        values[name] = {number for one in numbers if one for number in one}
    days, months, years = values["day of month"], values["month"], values["year"]
    longest = max(calendar.monthrange(year, month)[1] for month in months for year in years)
    if days and min(days) > longest:
        raise ValueError(
            f"schedule={expression!r}: no month that it names has the day {fields[2]}; give one that comes."
        )


def _numbers(part: str, low: int, high: int, names: list[str], more: str) -> set[int] | None:
    """What a part of a cron expression stands for; ``None`` if it is malformed.

    A day counted from the end of the month is counted from its start here: both exist in the same months.
    """
    special = re.fullmatch(more, part, re.ASCII) if more else None
    found = special or _PART.fullmatch(part)
    if found is None:
        return None
    given = found.groupdict()
    step = int(given.pop("step", None) or 0)
    texts = [text for text in given.values() if text]
    numbers = [
        names.index(text) + 1 if text in names else int(text) if text.isdecimal() else -1 for text in texts
    ]
    if not all(low <= number <= high for number in numbers):
        return None
    if special is not None:
        days = {number + 1 if given.get("back") else number for number in numbers} or {low}
        return days if max(days) <= high else None
    first = numbers[0] if numbers else low
    last = numbers[1] if len(numbers) > 1 else high if step or not numbers else first
    span = range(first, last + 1) if first <= last else [*range(first, high + 1), *range(low, last + 1)]
    return set(span[:: step or 1])
