"""A schedule invokes functions with its execution role, and a rate starts immediately.

The emulator treats a schedule as a rule: it evaluates the policy of the function and not the schedule's role,
and a rate of five minutes starts after five minutes.

Faithful to: a schedule invokes a function asynchronously if its role trusts Scheduler and may invoke the
function, whatever the function's policy says. It assumes the role with its account as `aws:SourceAccount` and
the ARN of its group as `aws:SourceArn`, as the role of the CDK's `Schedule` requires. A rate without a
StartDate starts when it is created. Without an Input, the function gets the default event of Scheduler. In an
Input, `<aws.scheduler.scheduled-time>` and the other three context attributes are replaced.
Not to: targets other than functions, for which policies are evaluated as for a rule; dead-letter queues and
retries of schedules (a refused invocation is logged and lost), time zones, flexible time windows. Rates are
not shortened. AWS invokes up to a minute late; here it is a fraction of a second.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role
https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
https://docs.aws.amazon.com/scheduler/latest/UserGuide/managing-schedule-context-attributes.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from ministack.services import eventbridge, scheduler

from localaws.identifiers import LOWER_CASE, identifier
from localaws.patching import around, changes
from localaws.services.iam.roles import role_allows, role_trusts

logger = logging.getLogger("localaws.scheduler")


@changes(scheduler, "_SCHEDULE_TICK_INTERVAL")
def _tick_interval(_stock: float) -> float:
    return 0.25


@around(scheduler, "_tick_schedules")
def _tick_schedules(stock: Callable[[], None]) -> None:
    """Let rates that are new start immediately."""
    last_time = scheduler._schedule_last_fired
    for key, schedule in list(scheduler._schedules._data.items()):
        interval = eventbridge._parse_rate_seconds(schedule.get("ScheduleExpression", ""))
        # The emulator remembers the last time of a deleted schedule with the same name.
        is_new = last_time.get(key, 0) < schedule["CreationDate"]
        if interval and is_new and not schedule.get("StartDate"):
            last_time[key] = schedule["CreationDate"] - interval
    stock()


@around(eventbridge, "_invoke_target", after=["events.targets", "iam.invocations"])
def _invoke_target(
    stock: Callable[..., None],
    target: dict[str, Any],
    event: Any,
    rule: dict[str, Any],
    view: Any = None,
) -> None:
    function, role, schedule = target.get("Arn", ""), target.get("RoleArn", ""), rule["Arn"]
    if not schedule.startswith("arn:aws:scheduler:") or ":function:" not in function:
        stock(target, event, rule, view)
    elif not role_trusts(role, "scheduler.amazonaws.com", _group_of(schedule)):
        logger.warning("%s: the role %s does not trust scheduler.amazonaws.com", schedule, role)
    elif not role_allows(role, "lambda:InvokeFunction", function):
        logger.warning("%s: the role %s may not lambda:InvokeFunction %s", schedule, role, function)
    else:
        given = target.get("Input")
        text = _with_context(given, event, schedule) if given else _default_event(event, schedule)
        eventbridge._dispatch_to_lambda(function, text)


def _group_of(schedule: str) -> str:
    """The ARN of a schedule's group: `…:schedule/GROUP/NAME` is in `…:schedule-group/GROUP`."""
    return schedule.rpartition("/")[0].replace(":schedule/", ":schedule-group/")


def _with_context(text: str, event: dict[str, Any], schedule: str) -> str:
    """The input with the values of its context attributes; there are no further attempts."""
    values = {
        "schedule-arn": schedule,
        "scheduled-time": eventbridge._event_time_string(event),
        "execution-id": identifier(LOWER_CASE, 16),
        "attempt-number": "1",
    }
    for name, value in values.items():
        text = text.replace(f"<aws.scheduler.{name}>", value)
    return text


def _default_event(event: dict[str, Any], schedule: str) -> str:
    """The event for a target without an input."""
    return json.dumps(
        {
            "version": "0",
            "id": event["EventId"],
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": event["Account"],
            "time": eventbridge._event_time_string(event),
            "region": event["Region"],
            "resources": [schedule],
            "detail": "{}",
        }
    )
