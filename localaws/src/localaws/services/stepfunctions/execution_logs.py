"""Logs of executions: `LoggingConfiguration` of a state machine.

Faithful to: the events of the level (`ALL`, `ERROR`, `FATAL`) arrive in the log group as JSON with id, type,
details, previous_event_id, event_timestamp and execution_arn; input and output only with
`IncludeExecutionData`. A level needs a log group, whose ARN ends with `:*`. The role of the state machine
must allow what the delivery of logs needs; a template stores the settings as the API does. Tracing is
recorded.
Not to: events inside of Parallel and Map states, which the emulator does not record. The log arrives at the
end of the execution. The names of log streams have the documented form only. Data over 248 KB is not cut.

https://docs.aws.amazon.com/step-functions/latest/dg/cw-logs.html
https://docs.aws.amazon.com/step-functions/latest/dg/cloudwatch-log-level.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from ministack.core.responses import error_response_json
from ministack.services import cloudwatch_logs, stepfunctions
from ministack.services.cloudformation import provisioners

from localaws.patching import Created, Handler, Properties, around, recorded_only, resource
from localaws.services.iam.roles import role_allows

Response = tuple[int, dict[str, str], bytes]
Data = dict[str, Any]

_DELIVERY = (
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
)
_FATAL = ("ExecutionAborted", "ExecutionFailed", "ExecutionTimedOut")
_DATA = ("input", "output", "parameters")

recorded_only("AWS::StepFunctions::StateMachine", "TracingConfiguration")


# -- which settings are taken


@around(stepfunctions, "_create_state_machine", after=["stepfunctions.express"])
def _create_state_machine(stock: Callable[[Data], Response], data: Data) -> Response:
    if refusal := _refusal(data.get("loggingConfiguration"), data.get("roleArn", "")):
        return refusal
    response = stock(data)
    if machine := stepfunctions._state_machines.get(json.loads(response[2]).get("stateMachineArn")):
        machine["tracingConfiguration"] = data.get("tracingConfiguration", {"enabled": False})
    return response


@around(stepfunctions, "_update_state_machine")
def _update_state_machine(stock: Callable[[Data], Response], data: Data) -> Response:
    machine = stepfunctions._state_machines.get(data.get("stateMachineArn")) or {}
    settings = data.get("loggingConfiguration", machine.get("loggingConfiguration"))
    if refusal := _refusal(settings, data.get("roleArn", machine.get("roleArn", ""))):
        return refusal
    return stock(data)


def _refusal(settings: Data | None, role: str) -> Response | None:
    """The error for settings that Step Functions does not take."""
    if not settings or settings.get("level", "OFF") == "OFF":
        return None
    [group, *more] = _groups(settings) or [""]
    if more or not group.endswith(":*"):
        message = "Invalid Logging Configuration: give the ARN of one log group, which ends with ':*'"
        return _error("InvalidLoggingConfiguration", message)
    if group.split(":")[6] not in cloudwatch_logs._log_groups:
        message = "Invalid Logging Configuration: the log group does not exist"
        return _error("InvalidLoggingConfiguration", message)
    if not all(role_allows(role, action, "*") for action in _DELIVERY):
        message = "The state machine IAM Role is not authorized to access the Log Destination"
        return _error("AccessDeniedException", message)
    return None


def _error(code: str, message: str) -> Response:
    response: Response = error_response_json(code, message, 400)
    return response


def _groups(settings: Data) -> list[str]:
    return [
        str(one.get("cloudWatchLogsLogGroup", {}).get("logGroupArn", ""))
        for one in settings.get("destinations", ())
    ]


_machines = resource("AWS::StepFunctions::StateMachine", after=["iam.deployments", "stepfunctions.express"])


@_machines.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    settings, role = _of_template(properties), properties.get("RoleArn", "")
    if refusal := _refusal(settings, role):
        raise ValueError(json.loads(refusal[2])["message"])
    made = stock(logical_id, properties, stack)
    _record(made[0], settings, properties)
    return made


@_machines.update
def _update(
    stock: Handler, physical_id: str, old: Properties, new: Properties, stack: str, logical_id: str
) -> Created:
    settings = _of_template(new)
    if refusal := _refusal(settings, new.get("RoleArn", "")):
        raise ValueError(json.loads(refusal[2])["message"])
    made = stock(physical_id, old, new, stack, logical_id)
    _record(made[0], settings, new)
    return made


def _of_template(properties: Properties) -> Data:
    found = properties.get("LoggingConfiguration") or {}
    settings = {"level": found.get("Level", "OFF")}
    settings["includeExecutionData"] = str(found.get("IncludeExecutionData", False)).lower() == "true"
    if found.get("Destinations"):
        settings["destinations"] = [provisioners._pascal_to_camel(one) for one in found["Destinations"]]
    return settings


def _record(arn: str, settings: Data, properties: Properties) -> None:
    tracing = (properties.get("TracingConfiguration") or {}).get("Enabled", False)
    stepfunctions._state_machines[arn].update(
        loggingConfiguration=settings, tracingConfiguration={"enabled": str(tracing).lower() == "true"}
    )


# -- what arrives in the log group


@around(stepfunctions, "_run_execution", after=["stepfunctions.clocks", "stepfunctions.metrics"])
def _run_execution(stock: Callable[[str], None], exec_arn: str) -> None:
    execution = stepfunctions._executions.get(exec_arn)
    stock(exec_arn)
    machine = stepfunctions._state_machines.get((execution or {}).get("stateMachineArn", "")) or {}
    settings = machine.get("loggingConfiguration") or {}
    for group in _groups(settings) if settings.get("level", "OFF") != "OFF" else ():
        if lines := list(_lines(execution or {}, settings, express=machine["type"] == "EXPRESS")):
            hour = datetime.now(UTC).strftime("%Y-%m-%d-%H")
            stream = f"states/{machine['name']}/{hour}/{uuid4().hex[:8]}"
            names = {"logGroupName": group.split(":")[6], "logStreamName": stream}
            cloudwatch_logs._create_log_stream(names)
            cloudwatch_logs._put_log_events({**names, "logEvents": lines})


def _lines(execution: Data, settings: Data, *, express: bool) -> Iterator[Data]:
    for event in execution.get("events", ()):
        if not _has_level(event["type"], settings["level"]):
            continue
        details: Data = next((value for name, value in event.items() if name.endswith("EventDetails")), {})
        number = int(event["id"])
        stamp = stepfunctions._iso_to_epoch_ms(event["timestamp"]) or int(time.time() * 1000)
        line = {
            "id": str(number),
            "type": event["type"],
            "details": _details(details, included=settings.get("includeExecutionData", False)),
            "previous_event_id": str(number - 1 if number > 2 else 0),
            "event_timestamp": str(stamp),
            "execution_arn": execution["executionArn"],
        } | ({} if express else {"redrive_count": "0"})
        yield {"timestamp": stamp, "message": json.dumps(line, separators=(",", ":"))}


def _has_level(event: str, level: str) -> bool:
    if level == "ERROR":
        return event == "FailStateEntered" or event.endswith(("Failed", "TimedOut", "Aborted"))
    return level == "ALL" or event in _FATAL


def _details(details: Data, *, included: bool) -> Data:
    """The details of an event as in the log: without data, if it is not included."""
    found: Data = {}
    for name, value in details.items():
        if name not in _DATA:
            found[name] = value
        elif included:
            found |= {name: value, f"{name}Details": {"truncated": False}}
    task = str(found.get("resource", "")).partition(":states:::")[2]
    if task:
        kind, _, action = task.rpartition(":")
        found |= {"resource": action, "resourceType": kind}
    return found
