"""A state machine does only what its role allows.

Faithful to: before a task calls Lambda, SQS, SNS, EventBridge, DynamoDB or another state machine through
Step Functions' own integrations, the role of the state machine is asked for that action on that resource. A
task without the permission fails with `States.Permissions`, which `Retry` and `Catch` can name.
Not to: tasks of the form `aws-sdk:...` and ECS are not asked for. The cause in words is shorter than AWS's.
Some integrations answer in AWS with an error name of their own instead (`Lambda.AWSLambdaException`).

https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html#error-handling-error-representation
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import stepfunctions

from localaws.services.iam.roles import role_allows

# The emulator copies context variables into the threads that it runs branches and items in.
_role: ContextVar[str] = ContextVar("role of the state machine that runs", default="")


def install() -> None:
    """Ask before each task's call."""
    stepfunctions._execute_task = _with_role(stepfunctions._execute_task)
    stepfunctions._invoke_resource = _allowed(stepfunctions._invoke_resource)
    stepfunctions._invoke_with_callback = _allowed(stepfunctions._invoke_with_callback)


def _with_role(execute: Callable[..., Any]) -> Callable[..., Any]:
    def execute_with_role(state: dict[str, Any], given: Any, execution: dict[str, Any], context: Any) -> Any:
        machine = stepfunctions._state_machines.get(execution.get("stateMachineArn", "")) or {}
        token = _role.set(machine.get("roleArn", ""))
        try:
            return execute(state, given, execution, context)
        finally:
            _role.reset(token)

    return execute_with_role


def _allowed(invoke: Callable[..., Any]) -> Callable[..., Any]:
    def invoke_if_allowed(resource: str, given: Any, *rest: Any) -> Any:
        role = _role.get()
        for action, target in _needed(resource, given) if role else ():
            if not role_allows(role, action, target):
                raise stepfunctions._ExecutionError(
                    "States.Permissions",
                    f"The role {role} is not authorized to perform: {action} on resource: {target}",
                )
        return invoke(resource, given, *rest)

    return invoke_if_allowed


def _needed(resource: str, given: Any) -> list[tuple[str, str]]:
    """The actions, each with the resource that it is done on, that a task needs."""
    task = resource.partition(":states:::")[2].partition(".")[0]
    wanted = given if isinstance(given, dict) else {}
    if ":function:" in resource and not task:
        return [("lambda:InvokeFunction", resource)]
    match task.split(":"):
        case ["lambda", "invoke"]:
            return [("lambda:InvokeFunction", _arn("lambda", "function:", wanted.get("FunctionName", "")))]
        case ["sqs", "sendMessage"]:
            return [("sqs:SendMessage", _arn("sqs", "", wanted.get("QueueUrl", "").rsplit("/", 1)[-1]))]
        case ["sns", "publish"]:
            return [("sns:Publish", wanted.get("TopicArn") or wanted.get("TargetArn", ""))]
        case ["events", "putEvents"]:
            buses = {entry.get("EventBusName", "default") for entry in wanted.get("Entries", [])}
            return [("events:PutEvents", _arn("events", "event-bus/", bus)) for bus in sorted(buses)]
        case ["dynamodb", action]:
            return [
                (f"dynamodb:{action[0].upper()}{action[1:]}", _arn("dynamodb", "table/", wanted["TableName"]))
            ]
        case ["states", "startExecution"]:
            return [("states:StartExecution", wanted.get("StateMachineArn", ""))]
        case _:
            return []


def _arn(service: str, kind: str, name: str) -> str:
    if name.startswith("arn:"):
        return name
    return f"arn:aws:{service}:{get_region()}:{get_account_id()}:{kind}{name}"
