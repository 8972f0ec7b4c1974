"""Schedule expressions of EventBridge Scheduler, checked when a construct is made."""

import re
import zoneinfo
from datetime import UTC, datetime

from aws_cdk import Token
from aws_cdk import aws_scheduler as scheduler

# https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")
_RATE = re.compile(r"rate\([1-9]\d* (minute|hour|day)s?\)")
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]
# The fields of a cron expression: lowest and highest number, their names, and what else a part may be.
# https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html#cron-based
_FIELDS: dict[str, tuple[int, int, list[str], str]] = {
    "minutes": (0, 59, [], ""),
    "hours": (0, 23, [], ""),
    "day of month": (1, 31, [], r"L|LW|L-\d+|(?P<nearest>\d+)W"),
    "month": (1, 12, _MONTHS, ""),
    "day of week": (1, 7, _DAYS, r"L|(?P<last>\w+)L|(?P<nth>\w+)#[1-5]"),
    "year": (1970, 2199, [], ""),
}
_PART = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<second>\w+))?)(?:/[1-9]\d*)?")


def check_expression(schedule: scheduler.ScheduleExpression) -> None:
    """Check that Scheduler accepts an expression and its time zone; tokens pass.

    Args:
        schedule: What was given as ``schedule``.

    Raises:
        ValueError: It is malformed or out of range.
    """
    expression = schedule.expression_string
    zone = schedule.time_zone.timezone_name if schedule.time_zone else "UTC"
    known = zoneinfo.available_timezones()  # empty where Python finds no database
    if known and zone not in known and not Token.is_unresolved(zone):
        raise ValueError(
            f"time_zone={zone!r}: it is not in the IANA database; give a name such as 'Europe/Berlin'."
        )
    if Token.is_unresolved(expression) or _RATE.fullmatch(expression):
        return
    if expression.startswith("cron(") and expression.endswith(")"):
        _check_cron(expression)
        return
    if not (at := _AT.fullmatch(expression)):
        raise ValueError(
            f"schedule={expression!r}: Scheduler allows rate(5 minutes), with a whole number from 1 and "
            "minutes, hours or days; cron(minutes hours day-of-month month day-of-week year); and "
            "at(2030-12-31T23:59:59). Give one of these."
        )
    try:
        datetime.fromisoformat(at[1])
    except ValueError as error:
        raise ValueError(f"schedule={expression!r}: {error}; give a time that exists.") from None


def has_passed(schedule: scheduler.ScheduleExpression) -> bool:
    """Whether an expression that `check_expression` accepts is a single time that has passed in its zone."""
    at = _AT.fullmatch(schedule.expression_string)
    zone = schedule.time_zone.timezone_name if schedule.time_zone else "UTC"
    if at is None or zone not in zoneinfo.available_timezones():
        return False
    return datetime.fromisoformat(at[1]).replace(tzinfo=zoneinfo.ZoneInfo(zone)) < datetime.now(UTC)


def _check_cron(expression: str) -> None:
    fields = expression[len("cron(") : -1].split()
    if len(fields) != len(_FIELDS):
        raise ValueError(
            f"schedule={expression!r}: {len(fields)} fields; give six: {', '.join(_FIELDS)} (unlike Unix, "
            "with a year)."
        )
    if [fields[2], fields[4]].count("?") != 1:
        raise ValueError(
            f"schedule={expression!r}: day of month is {fields[2]} and day of week is {fields[4]}; Scheduler "
            "requires ? in exactly one of them."
        )
    for field, (name, (low, high, names, more)) in zip(fields, _FIELDS.items(), strict=True):
        if field == "?" and more:
            continue
        for part in field.upper().split(","):
            found = (re.fullmatch(more, part) if more else None) or _PART.fullmatch(part)
            values = [one for one in found.groupdict().values() if one] if found else [part]
            if not all(one in names or (one.isdecimal() and low <= int(one) <= high) for one in values):
                spelled = f" or {names[0]} to {names[-1]}" if names else ""
                raise ValueError(
                    f"schedule={expression!r}: {name} is {field}; Scheduler allows {low} to {high}{spelled}, "
                    "lists (1,2), ranges (1-5), steps (0/15) and *"
                    + (", and ? for days; L, W and # as documented." if more else ".")
                )
