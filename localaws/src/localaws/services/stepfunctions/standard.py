"""Standard workflows: starting one again, and the answers to tasks that wait for one.

Faithful to: StartExecution with the name and the input of an execution that runs returns that execution;
with another input, or after its end, the name is refused. SendTaskSuccess, SendTaskFailure and
SendTaskHeartbeat need a permission for the state machine whose task waits. They are refused with
`TaskTimedOut` when the task or its execution is over, with `InvalidToken` for what is no token, and
SendTaskSuccess with `InvalidOutput` for what is no JSON. Tokens of tasks have hundreds of characters, of
which AWS allows up to 2,048.
Not to: tokens of activities, whose end is not remembered; RedriveExecution, which is refused as an unknown
action.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html
https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsstepfunctions.html
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from contextvars import ContextVar
from secrets import token_bytes
from typing import Any

from ministack.core.responses import error_response_json, json_response
from ministack.services import stepfunctions

from localaws import strict_json
from localaws.patching import around, on_reset
from localaws.services.iam.resources import Request, resource_of
from localaws.usage import amounts

Data = dict[str, Any]
Response = tuple[int, dict[str, str], bytes]

_current: ContextVar[Data | None] = ContextVar("localaws_execution", default=None)
#: The execution of each token that a task has waited with.
_executions_of: dict[str, Data] = {}


@on_reset
def _forget() -> None:
    _executions_of.clear()


@around(stepfunctions, "_start_execution", after=["stepfunctions.express"])
def _start_execution(stock: Callable[[Data], Response], data: Data) -> Response:
    response = stock(data)
    refusal = json.loads(response[2])
    if not str(refusal.get("__type", "")).endswith("ExecutionAlreadyExists"):
        return response
    known = next(one for arn, one in stepfunctions._executions.items() if f"'{arn}'" in refusal["message"])
    if known["status"] == "RUNNING" and known["input"] == data.get("input", "{}"):
        again: Response = json_response(
            {"executionArn": known["executionArn"], "startDate": known["startDate"]}
        )
        return again
    return _refused("ExecutionAlreadyExists", f"Execution Already Exists: '{known['executionArn']}'")


@around(stepfunctions, "_add_event")
def _add_event(stock: Callable[..., Data], execution: Data, event_type: str, details: Any = None) -> Data:
    """Count a step, which is what AWS bills."""
    machine = stepfunctions._state_machines.get(execution["stateMachineArn"]) or {}
    if event_type.endswith("StateEntered") and machine.get("type") != "EXPRESS":
        amounts.add("", "Step Functions state transitions")
    return stock(execution, event_type, details)


@around(stepfunctions, "_execute_task", after=["stepfunctions.execution_role"])
def _execute_task(
    stock: Callable[..., Any], state_def: Data, raw_input: Any, execution: Data, ctx: Any
) -> Any:
    token, seen = _current.set(execution), _Context(ctx)
    try:
        return stock(state_def, raw_input, execution, seen)
    finally:
        ctx.update(seen)
        _current.reset(token)


class _Context(dict[str, Any]):
    """The context object of a state, whose token is as long as those of AWS; the emulator's is a UUID."""

    def __setitem__(self, name: str, value: Any) -> None:
        if name == "Task":
            value = {"Token": b64encode(token_bytes(512)).decode()}
        super().__setitem__(name, value)


@around(stepfunctions, "_invoke_with_callback", after=["stepfunctions.execution_role"])
def _invoke_with_callback(
    stock: Callable[..., Any], resource: str, input_data: Any, token: str, state_def: Data
) -> Any:
    _executions_of[token] = _current.get() or {}
    return stock(resource, input_data, token, state_def)


@around(stepfunctions, "_send_task_success")
def _send_task_success(stock: Callable[[Data], Response], data: Data) -> Response:
    try:
        strict_json.read(data.get("output", "{}"))
    except ValueError as error:
        return _refused("InvalidOutput", f"Invalid Output: '{error}'")
    return _answer(stock, data)


@around(stepfunctions, "_send_task_failure")
@around(stepfunctions, "_send_task_heartbeat")
def _answer(stock: Callable[[Data], Response], data: Data) -> Response:
    token = str(data.get("taskToken", ""))
    execution = _executions_of.get(token)
    waits = token in stepfunctions._task_tokens
    if execution is not None and (not waits or execution.get("status") != "RUNNING"):
        return _refused("TaskTimedOut", "Task Timed Out: 'Provided task does not exist anymore'")
    if not waits:
        return _refused("InvalidToken", "Invalid Token: 'Invalid token'")
    return stock(data)


@resource_of("states")
def _machine_of_token(request: Request) -> str | None:
    if not request.operation.startswith("SendTask"):
        return None
    execution = _executions_of.get(str(request.member("taskToken")), {})
    return execution.get("stateMachineArn")


def _refused(code: str, message: str) -> Response:
    response: Response = error_response_json(code, message, 400)
    return response
