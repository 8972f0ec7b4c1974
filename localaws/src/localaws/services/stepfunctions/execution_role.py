"""Tasks of a state machine need the permissions of its role.

Faithful to: before a task calls Lambda, SQS, SNS, EventBridge, DynamoDB or another state machine through an
optimized integration, the role of the state machine must allow that action on that resource. Otherwise the
task fails with `States.Permissions`, or with `Lambda.AWSLambdaException` and the cause of AWS for the
integration of Lambda; `Retry` and `Catch` can name them.
Not to: tasks of the form `aws-sdk:...` and of ECS, which are not authorised. The cause of
`States.Permissions` is shorter than in AWS, and some other integrations of AWS return an error name of their
own instead.

https://docs.aws.amazon.com/step-functions/latest/dg/procedure-create-iam-role.html
https://docs.aws.amazon.com/step-functions/latest/dg/concepts-error-handling.html#error-handling-error-representation
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from secrets import token_hex
from typing import Any
from uuid import uuid4

from ministack.core.responses import get_account_id, get_region
from ministack.services import stepfunctions

from localaws.patching import around
from localaws.services.iam.roles import role_allows

# The emulator copies context variables into the threads of branches and items.
_role: ContextVar[str] = ContextVar("localaws_state_machine_role", default="")


@around(stepfunctions, "_execute_task")
def _execute_task(
    stock: Callable[..., Any], state_def: dict[str, Any], raw_input: Any, execution: dict[str, Any], ctx: Any
) -> Any:
    machine = stepfunctions._state_machines.get(execution.get("stateMachineArn", "")) or {}
    token = _role.set(machine.get("roleArn", ""))
    try:
        return stock(state_def, raw_input, execution, ctx)
    finally:
        _role.reset(token)


@around(stepfunctions, "_invoke_resource")
@around(stepfunctions, "_invoke_with_callback")
def _invoke(stock: Callable[..., Any], resource: str, input_data: Any, *args: Any, **more: Any) -> Any:
    role = _role.get()
    for action, target in _needed(resource, input_data) if role else ():
        if not role_allows(role, action, target):
            raise stepfunctions._ExecutionError(*_denial(role, action, target, resource))
    return stock(resource, input_data, *args, **more)


def _denial(role: str, action: str, target: str, task: str) -> tuple[str, str]:
    """Name and cause of the error."""
    if "states:::lambda:invoke" not in task:
        return (
            "States.Permissions",
            f"The role {role} is not authorized to perform: {action} on resource: {target}",
        )
    session = f"{role.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/{token_hex(16)}"
    return "Lambda.AWSLambdaException", (
        f"User: {session} is not authorized to perform: {action} on resource: {target} because no "
        f"identity-based policy allows the {action} action "
        f"(Service: Lambda, Status Code: 403, Request ID: {uuid4()})"
    )


def role_of_execution() -> str:
    """The ARN of the role of the state machine that runs in this thread."""
    return _role.get()


def _needed(resource: str, given: Any) -> list[tuple[str, str]]:
    """The actions that a task needs, each with its resource."""
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
