"""The events of a task in the history of an execution, as AWS names them.

The emulator records every task as scheduled and ended, never as started, with the whole ARN as its resource.

Faithful to: a task of a service integration is scheduled, started, and has succeeded or failed; resource and
resource type are those of the integration (`putItem` of `aws-sdk:dynamodb`). A task whose resource is the ARN
of a function has the events of functions. The logs of executions have the same events.
Not to: TaskSubmitted and TaskTimedOut; the parameters of a task; the events of activities; tasks inside of
Parallel and Map states, which the emulator does not record.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html
https://docs.aws.amazon.com/step-functions/latest/apireference/API_TaskStartedEventDetails.html
https://docs.aws.amazon.com/step-functions/latest/apireference/API_LambdaFunctionScheduledEventDetails.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import stepfunctions

from localaws.patching import around

Data = dict[str, Any]

_DETAILS = {
    "TaskScheduled": "taskScheduledEventDetails",
    "TaskSucceeded": "taskSucceededEventDetails",
    "TaskFailed": "taskFailedEventDetails",
}


@around(stepfunctions, "_add_event", after=["stepfunctions.standard"])
def _add_event(stock: Callable[..., Data], execution: Data, event_type: str, details: Any = None) -> Data:
    name = _DETAILS.get(event_type)
    if name is None:
        return stock(execution, event_type, details)
    members, resource = dict(details[name]), str(details[name]["resource"])
    if ":states:::" in resource:
        return _of_integration(stock, execution, event_type, members)
    if ":lambda:" in resource:
        return _of_function(stock, execution, event_type, members)
    return stock(execution, event_type, details)


def _of_integration(stock: Callable[..., Data], execution: Data, event_type: str, members: Data) -> Data:
    *kind, resource = members["resource"].partition(":states:::")[2].split(":")
    if resource.isdigit():  # startExecution.sync:2
        resource = f"{kind.pop()}:{resource}"
    task = {"resourceType": ":".join(kind), "resource": resource}
    if event_type == "TaskScheduled":
        region = execution["executionArn"].split(":")[3]
        stock(execution, event_type, {_DETAILS[event_type]: {**members, **task, "region": region}})
        return stock(execution, "TaskStarted", {"taskStartedEventDetails": task})
    return stock(execution, event_type, {_DETAILS[event_type]: members | task})


def _of_function(stock: Callable[..., Data], execution: Data, event_type: str, members: Data) -> Data:
    function = event_type.replace("Task", "LambdaFunction")
    kept = {name: value for name, value in members.items() if name not in ("resource", "resourceType")}
    if event_type == "TaskScheduled":
        kept["resource"] = members["resource"]
    event = stock(execution, function, {f"l{function[1:]}EventDetails": kept})
    return stock(execution, "LambdaFunctionStarted") if event_type == "TaskScheduled" else event
