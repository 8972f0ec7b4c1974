"""What a schedule may be: the checks of CreateSchedule and UpdateSchedule, in the API and in templates.

The emulator checks only that members are present, and its CloudFormation handler passes on six of the
properties and ignores a refusal.

Faithful to: expressions, time zones, flexible time windows, retry policies and dead-letter queues; JSON
where the target needs it; a role that trusts Scheduler with this account as `aws:SourceAccount` and the
ARN of the schedule's group as `aws:SourceArn`, as the role of the CDK's `Schedule` requires. GetSchedule
returns the default time zone and retry policy.
Not to: `KmsKeyArn`, which is ignored; the texts of some errors.

https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
https://docs.aws.amazon.com/scheduler/latest/APIReference/API_Target.html
https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
"""

from __future__ import annotations

import copy
import functools
import json
import re
import zoneinfo
from collections.abc import Callable, Iterator

from ministack.services import scheduler
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.iam.roles import role_trusts
from localaws.services.scheduler import expressions

SERVICE = "scheduler.amazonaws.com"
Response = tuple[int, dict[str, str], bytes]
_RETRIES = {"MaximumEventAgeInSeconds": (60, 86_400), "MaximumRetryAttempts": (0, 185)}
_WINDOW = (1, 1440)
_NAME = re.compile(r"[0-9a-zA-Z-_.]{1,64}")
_ENUMS = {"State": ("ENABLED", "DISABLED"), "ActionAfterCompletion": ("NONE", "DELETE")}
# Targets of these services take JSON.
_JSON = ("lambda", "states", "events")
# What a template's schedule and its target have and Scheduler here acts on.
_PROPERTIES = (
    "ActionAfterCompletion",
    "Description",
    "EndDate",
    "FlexibleTimeWindow",
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "StartDate",
    "State",
)
_TARGET = (
    "Arn",
    "DeadLetterConfig",
    "EventBridgeParameters",
    "Input",
    "KinesisParameters",
    "RetryPolicy",
    "RoleArn",
    "SqsParameters",
)


@around(scheduler, "_create_schedule")
@around(scheduler, "_update_schedule")
def _put(stock: Callable[[str, Properties], Response], name: str, body: Properties) -> Response:
    for problem in (*_name_problems(name), *_problems(body)):
        refused: Response = scheduler._error(400, "ValidationException", problem)
        return refused
    if target := body.get("Target"):
        defaults = {setting: most for setting, (_, most) in _RETRIES.items()}
        body = body | {"Target": target | {"RetryPolicy": defaults | (target.get("RetryPolicy") or {})}}
    return stock(name, body)


def group_arn(group: str) -> str:
    """The ARN of a group, which is what a role may ask for."""
    return str(scheduler._group_arn(group))


def _name_problems(name: str) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield (
            f"1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: Member "
            "must have length less than or equal to 64 and satisfy regular expression pattern: "
            "^[0-9a-zA-Z-_.]+$"
        )


@functools.cache
def time_zones() -> frozenset[str]:
    """The time zones that Python knows, which reads a thousand files."""
    return frozenset(zoneinfo.available_timezones())


def _problems(body: Properties) -> Iterator[str]:
    """What Scheduler refuses; that members are missing, the emulator says."""
    expression = body.get("ScheduleExpression")
    if expression and not expressions.is_valid(str(expression)):
        yield f"Invalid Schedule Expression {expression}."
    zone = body.get("ScheduleExpressionTimezone", "UTC")
    if zone not in time_zones():
        yield f"Invalid Schedule Expression Timezone {zone}."
    for member, allowed in _ENUMS.items():
        if body.get(member, allowed[0]) not in allowed:
            yield _not_in(body[member], member, allowed)
    window = body.get("FlexibleTimeWindow")
    if window:
        yield from _window_problems(window)
    target = body.get("Target") or {}
    if target.get("Arn") and target.get("RoleArn"):
        yield from _target_problems(target)
        if not role_trusts(target["RoleArn"], SERVICE, group_arn(body.get("GroupName", "default"))):
            yield "The execution role you provide must allow AWS EventBridge Scheduler to assume the role."


def _window_problems(window: Properties) -> Iterator[str]:
    mode, minutes = window.get("Mode"), window.get("MaximumWindowInMinutes")
    if mode not in ("OFF", "FLEXIBLE"):
        yield _not_in(mode, "flexibleTimeWindow.mode", ("OFF", "FLEXIBLE"))
    elif mode == "OFF" and minutes is not None:
        yield "MaximumWindowInMinutes must not be set when flexible time window mode is OFF."
    elif mode == "FLEXIBLE" and (minutes is None or not _WINDOW[0] <= int(minutes) <= _WINDOW[1]):
        yield f"MaximumWindowInMinutes is {minutes}: it must be from 1 to 1440 when the mode is FLEXIBLE."


def _target_problems(target: Properties) -> Iterator[str]:
    service = (target["Arn"].split(":") + [""] * 3)[2]
    if service in _JSON and target.get("Input"):
        try:
            json.loads(target["Input"])
        except ValueError:
            yield "Invalid RequestJson provided. Reason The Input of this target must be a well-formed JSON."
    for setting, (low, high) in _RETRIES.items():
        value = (target.get("RetryPolicy") or {}).get(setting)
        if value is not None and not low <= int(value) <= high:
            yield f"{setting} is {value}: it must be from {low} to {high}."
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if queue and (queue.split(":")[2:3] != ["sqs"] or queue.endswith(".fifo")):
        yield f"The dead-letter queue {queue} must be a standard queue of Amazon SQS."
    needed = {"events": "EventBridgeParameters", "kinesis": "KinesisParameters"}.get(service)
    if service == "sqs" and target["Arn"].endswith(".fifo"):
        needed = "SqsParameters"
    if needed and not target.get(needed):
        yield f"{needed} must be set for the target {target['Arn']}."


def _not_in(value: object, member: str, allowed: tuple[str, ...]) -> str:
    member = member[0].lower() + member[1:]
    return (
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: "
        f"Member must satisfy enum value set: [{', '.join(allowed)}]"
    )


# --- in templates

_schedules = resource("AWS::Scheduler::Schedule")


@_schedules.create
def _create(_stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    name = properties.get("Name") or provisioners._physical_name(stack, logical_id, max_len=64)
    return _made(scheduler._create_schedule(name, _body(properties)), name, properties)


@_schedules.update
def _update(
    _stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    name = new.get("Name") or physical_id
    if name == physical_id and new.get("GroupName", "default") != old.get("GroupName", "default"):
        scheduler._delete_schedule(physical_id, {"groupName": old.get("GroupName", "default")})
        return _made(scheduler._create_schedule(name, _body(new)), name, new)
    call = scheduler._update_schedule if name == physical_id else scheduler._create_schedule
    return _made(call(name, _body(new)), name, new)


@resource("AWS::Scheduler::ScheduleGroup").create
def _create_group(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    if properties.get("Name") in scheduler._schedule_groups:
        raise ValueError(f"Schedule group {properties['Name']} already exists.")
    return stock(logical_id, properties, stack)


def _body(properties: Properties) -> Properties:
    body = {name: copy.deepcopy(properties[name]) for name in _PROPERTIES if name in properties}
    target = properties.get("Target") or {}
    given = {name: copy.deepcopy(target[name]) for name in _TARGET if name in target}
    return body | {"Target": given, "GroupName": properties.get("GroupName", "default")}


def _made(response: Response, name: str, properties: Properties) -> Created:
    if response[0] >= 400:
        raise ValueError(f"AWS::Scheduler::Schedule {name}: {json.loads(response[2])['Message']}")
    return name, {"Arn": scheduler._schedule_arn(properties.get("GroupName", "default"), name)}
