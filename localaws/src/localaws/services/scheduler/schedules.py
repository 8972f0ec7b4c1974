"""EventBridge Scheduler: a schedule works in the name of its role, and begins at once.

The emulator takes a schedule for a rule, so that the policy of the function is asked and never the role; and
a rate of five minutes begins after five minutes.

Faithful to: a schedule invokes a function if its role trusts Scheduler and may invoke it, asynchronously and
whatever the policy of the function says; a rate without a StartDate begins with its creation; without an
Input the function gets Scheduler's own event.
Not to: targets other than functions, which are asked as if a rule called; dead-letter queues and retries of
schedules (what is refused is logged and lost), time zones, flexible time windows. Rates are not shortened: a
minute takes a minute. In AWS a schedule is late by up to a minute, here by a second.

https://docs.aws.amazon.com/scheduler/latest/UserGuide/setting-up.html#setting-up-execution-role
https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from ministack.core.responses import now_iso
from ministack.services import eventbridge, scheduler

from localaws.services.iam.roles import role_allows, role_trusts

logger = logging.getLogger("localaws.scheduler")

_SECONDS_BETWEEN_LOOKS = 1


def install() -> None:
    """Let schedules begin at once, and invoke functions by their roles."""
    scheduler._SCHEDULE_TICK_INTERVAL = _SECONDS_BETWEEN_LOOKS
    scheduler._tick_schedules = _beginning_at_once(scheduler._tick_schedules)
    eventbridge._invoke_target = _by_role(eventbridge._invoke_target)


def _beginning_at_once(tick: Callable[[], None]) -> Callable[[], None]:
    def tick_new_ones_too() -> None:
        last_time = scheduler._schedule_last_fired
        for key, schedule in list(scheduler._schedules._data.items()):
            interval = eventbridge._parse_rate_seconds(schedule.get("ScheduleExpression", ""))
            # One of the same name may have been there before, and is not forgotten.
            is_new = last_time.get(key, 0) < schedule["CreationDate"]
            if interval and is_new and not schedule.get("StartDate"):
                last_time[key] = schedule["CreationDate"] - interval
        tick()

    return tick_new_ones_too


def _by_role(invoke: Callable[..., None]) -> Callable[..., None]:
    def invoke_by_role(target: dict[str, Any], event: Any, rule: dict[str, Any], view: Any = None) -> None:
        function, role, schedule = target.get("Arn", ""), target.get("RoleArn", ""), rule["Arn"]
        if not schedule.startswith("arn:aws:scheduler:") or ":function:" not in function:
            invoke(target, event, rule, view)
        elif not role_trusts(role, "scheduler.amazonaws.com"):
            logger.warning("%s: the role %s does not trust scheduler.amazonaws.com", schedule, role)
        elif not role_allows(role, "lambda:InvokeFunction", function):
            logger.warning("%s: the role %s may not lambda:InvokeFunction %s", schedule, role, function)
        else:
            eventbridge._dispatch_to_lambda(function, target.get("Input") or _own_event(event, schedule))

    return invoke_by_role


def _own_event(event: dict[str, Any], schedule: str) -> str:
    """What a target gets that was given no input."""
    return json.dumps(
        {
            "version": "0",
            "id": event["EventId"],
            "detail-type": "Scheduled Event",
            "source": "aws.scheduler",
            "account": event["Account"],
            "time": now_iso(),
            "region": event["Region"],
            "resources": [schedule],
            "detail": "{}",
        }
    )
