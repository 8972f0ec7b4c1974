"""What Application Auto Scaling does: it changes provisioned concurrency by schedule and by utilization.

Faithful to:
- A scheduled action is due in its time zone, also when clocks change (`scheduler.expressions`). It sets the
  range of its target, and the capacity is brought into it.
- While the upper alarm of a policy is in ALARM, the capacity becomes what the metric and the target ask for,
  rounded up; while the lower one is, it shrinks. Of several policies, the largest capacity counts, and the
  capacity shrinks only if all of them allow it. Never beyond the range. Cooldowns, DisableScaleIn and
  suspended scaling. A change that Lambda refuses is a failed activity, and so is one whose environments fail;
  until they are ready, it is in progress.
- Without data, nothing shrinks: a function that is not invoked keeps its provisioned concurrency.
Not to: the states Pending, Overridden and Unfulfilled; a scale-out during the cooldown of another, which AWS
does if it is larger; delays. Minutes are as long as those of alarms (see `pace`); schedules follow the clock.

https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html
https://docs.aws.amazon.com/autoscaling/application/userguide/scheduled-scaling-using-cron-expressions.html
https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-scaling-activities.html
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import cloudwatch, lambda_svc

from localaws.pace import shortened
from localaws.patching import on_reset
from localaws.services.applicationautoscaling import records
from localaws.services.applicationautoscaling.records import Record
from localaws.services.cloudwatch.data import Periods, statistics
from localaws.services.scheduler import expressions

logger = logging.getLogger("localaws.applicationautoscaling")

Key = tuple[str, str, str]
_LOOKS_BACK = 3  # periods
_WHEN = ("Schedule", "Timezone", "StartTime", "EndTime")
_TICK, _SHORTEST_TICK = 0.25, 0.02

_lock = threading.Lock()
_thread: threading.Thread | None = None
#: When each scheduled action is due, by its ARN, with the action as it was then.
_due: dict[str, tuple[Record, float | None]] = {}
#: When the capacity of a target has grown and shrunk, and when it was last scaled.
_times: dict[tuple[Key, str], float] = {}


@on_reset
def _forget() -> None:
    _due.clear()
    _times.clear()


# --- Capacity


def capacity(resource_id: str) -> int:
    """The provisioned concurrency that is requested, 0 without any."""
    _, qualifier, function = records.function_of(resource_id)
    found = function["provisioned_concurrency"].get(qualifier) or {}
    return int(found.get("RequestedProvisionedConcurrentExecutions") or 0)


def set_capacity(resource_id: str, wanted: int, cause: str) -> bool:
    """Change the provisioned concurrency; returns whether Lambda accepted it."""
    name, qualifier, _ = records.function_of(resource_id)
    settle(resource_id)
    if wanted:
        data = {"ProvisionedConcurrentExecutions": wanted}
        status, _, body = lambda_svc._put_provisioned_concurrency(name, qualifier, data)
    else:
        status, _, body = lambda_svc._delete_provisioned_concurrency(name, qualifier)
    answer = json.loads(body or b"{}")
    problem = (
        f"Failed to set desired capacity to {wanted}. Reason: {answer.get('message')}"
        if status >= 400
        else ""
    )
    description = f"Setting desired capacity to {wanted}."
    records.add_activity(resource_id, description, cause, problem, is_done=not wanted)
    return not problem


def settle(resource_id: str) -> None:
    """End the activity that is in progress, if its environments are ready or failed."""
    for activity in records.activities.get(resource_id) or []:
        if activity["StatusCode"] != "InProgress":
            continue
        try:
            _, qualifier, function = records.function_of(resource_id)
        except records.Refused:  # the alias was deleted
            return
        config = function["provisioned_concurrency"].get(qualifier) or {}
        if config.get("Status") == "FAILED":
            records.end(activity, f"Failed to set desired capacity. Reason: {config['StatusReason']}")
        elif config.get("Status") != "IN_PROGRESS":
            records.end(activity)


def bring_into_range(resource_id: str) -> None:
    """Change the capacity if it is outside the range of its target."""
    target, now = records.targets[resource_id], capacity(resource_id)
    if now < target["MinCapacity"]:
        set_capacity(
            resource_id, target["MinCapacity"], f"minimum capacity was set to {target['MinCapacity']}"
        )
    elif now > target["MaxCapacity"]:
        set_capacity(
            resource_id, target["MaxCapacity"], f"maximum capacity was set to {target['MaxCapacity']}"
        )


# --- The clock


def start() -> None:
    """Start the clock with the first target; it ends after the last."""
    global _thread
    with _lock:
        if _thread is None and records.targets._data:
            _thread = threading.Thread(target=_run, daemon=True, name="application-autoscaling")
            _thread.start()


def _run() -> None:
    global _thread
    while True:
        time.sleep(min(_TICK, max(_SHORTEST_TICK, shortened(10))))
        with _lock:
            if not records.targets._data:
                _thread = None
                return
        for key in list(records.targets._data):
            with request_scope(key[0], key[1]):
                try:
                    _look_at(key)
                except records.Refused:
                    continue  # the alias is being deleted
                except Exception:  # the others must still be looked at
                    logger.exception("%s could not be scaled", key[2])


def _look_at(key: Key) -> None:
    resource_id = key[2]
    target = records.targets.get(resource_id)
    if target is None:
        return
    for name, action in list(records.actions.items()):
        if (
            name[0] == resource_id
            and _is_due(action)
            and not target["SuspendedState"]["ScheduledScalingSuspended"]
        ):
            _apply(action)
    is_time = time.time() >= _times.get((key, "scaled"), 0) + shortened(60)
    if is_time and _track(key, records.targets[resource_id]):
        _times[key, "scaled"] = time.time()


# --- Schedules


def _is_due(action: Record) -> bool:
    """Whether an action is due; computes when it is the next time."""
    arn, now = action["ScheduledActionARN"], time.time()
    known, due = _due.get(arn, ({}, None))
    if any(known.get(name) != action.get(name) for name in _WHEN):  # it is new, or was changed
        due = expressions.first_time(_as_schedule(action) | {"LastModificationDate": now})
    _due[arn] = action, due
    if due is None or due > now:
        return False
    _due[arn] = action, expressions.next_time(_as_schedule(action), max(now, due + 1))
    return True


def _as_schedule(action: Record) -> Record:
    """The action as `scheduler.expressions` reads it."""
    return {
        "ScheduleExpression": action["Schedule"],
        "ScheduleExpressionTimezone": action["Timezone"],
        "StartDate": action.get("StartTime"),
        "EndDate": action.get("EndTime"),
        "CreationDate": action["CreationTime"],
        "LastModificationDate": action["CreationTime"],
    }


def _apply(action: Record) -> None:
    """Set the range that an action names, and bring the capacity into it."""
    resource_id, wanted = action["ResourceId"], action["ScalableTargetAction"]
    target = records.targets[resource_id]
    given = {name: int(value) for name, value in wanted.items()}
    texts = [f"{name[:3].lower()} capacity to {value}" for name, value in sorted(given.items(), reverse=True)]
    cause = f"scheduled action name {action['ScheduledActionName']} was triggered"
    changed = target | given
    try:
        records.check_range(changed["MinCapacity"], changed["MaxCapacity"])
    except records.Refused as refused:
        records.add_activity(resource_id, f"Setting {' and '.join(texts)}", cause, str(refused))
        return
    records.targets[resource_id] = changed
    records.add_activity(resource_id, f"Setting {' and '.join(texts)}", cause)
    bring_into_range(resource_id)


# --- Target tracking


def _track(key: Key, target: Record) -> bool:
    """Scale as the policies of a target ask; returns whether the capacity was changed."""
    resource_id, now = key[2], capacity(key[2])
    wanted: list[tuple[int, Record, str]] = []
    for name, policy in list(records.policies.items()):
        if name[0] == resource_id:
            wanted.append((*_asked_for(policy, now), policy["PolicyName"]))
    if not wanted:
        return False
    count, cooldowns, name = max(wanted, key=lambda one: one[0])
    count = min(max(count, target["MinCapacity"]), target["MaxCapacity"])
    way = "Out" if count > now else "In"
    alarm = cooldowns.get("alarm")
    if count == now or not alarm or target["SuspendedState"][f"DynamicScaling{way}Suspended"]:
        return False
    if time.time() < _times.get((key, way), 0) + shortened(float(cooldowns.get(f"Scale{way}Cooldown") or 0)):
        return False
    cause = f"monitor alarm {alarm} in state ALARM triggered policy {name}"
    changed = set_capacity(resource_id, count, cause)
    _times[key, way] = time.time()
    return changed


def _asked_for(policy: Record, now: int) -> tuple[int, Record]:
    """The capacity that a policy asks for, with its settings and the alarm that asks."""
    tracking = policy["TargetTrackingScalingPolicyConfiguration"]
    for alarm in policy["Alarms"]:
        found = cloudwatch._alarms.get(alarm["AlarmName"])
        if not found or found["StateValue"] != "ALARM":
            continue
        value = _latest(found)
        if value is None:
            continue
        count = math.ceil(now * value / float(tracking["TargetValue"]) - 1e-9)
        grows = "-AlarmHigh-" in alarm["AlarmName"]
        if (grows and count > now) or (not grows and count < now and not tracking.get("DisableScaleIn")):
            return count, {**tracking, "alarm": alarm["AlarmName"]}
    return now, {}


def _latest(alarm: dict[str, Any]) -> float | None:
    """The newest value of an alarm's metric."""
    length, now = shortened(60), time.time()
    periods = Periods([now - length * back for back in range(_LOOKS_BACK, 0, -1)], length, 60)
    series = statistics(alarm, alarm["Statistic"], alarm.get("Unit") or None, periods)
    return series[max(series)] if series else None
