"""Express workflows: StartSyncExecution, and what is refused of them.

Faithful to: StartSyncExecution runs Express workflows only, and answers when the execution is over: with the
output, or with error and cause, or with the status `TIMED_OUT`; ARN, details and billing are those of Express
workflows. Names may be used again at any time. Of both types, input that is not JSON or over 256 KiB is
refused, and a name of over 80 characters or with one that AWS forbids. The history of an Express execution
can be read only in its log, and it emits no events. Tasks that wait for a job or a callback, and activities,
are refused in the definition.
Not to: the words of the JSON parser. Billed memory is always 64 MB. No X-Ray segments.

https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartSyncExecution.html
https://docs.aws.amazon.com/step-functions/latest/apireference/API_StartExecution.html
https://docs.aws.amazon.com/step-functions/latest/dg/choosing-workflow-type.html
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any
from unicodedata import category
from uuid import uuid4

from ministack.core.responses import error_response_json, get_account_id, get_region, json_response, now_iso
from ministack.services import stepfunctions

from localaws import strict_json
from localaws.patching import Created, Handler, Properties, around, replaces, resource
from localaws.services.stepfunctions.clocks import Clock, clock
from localaws.usage import amounts

Response = tuple[int, dict[str, str], bytes]
_INPUT_BYTES = 262_144
_FORBIDDEN = frozenset('<>{}[]?*"#%\\^|~`$&,;:/\ufffe\uffff')
_BILLED_STEP, _BILLED_MB = 100, 64


@replaces(stepfunctions, "_start_sync_execution")
def _start_sync_execution(data: dict[str, Any]) -> Response:
    return start_sync_execution(data, Clock())


def start_sync_execution(data: dict[str, Any], watch: Clock) -> Response:
    """Run an Express workflow and answer when it is over.

    Args:
        data: The request.
        watch: The clock of the execution, which the caller may look at meanwhile.
    """
    machine = stepfunctions._resolve_state_machine_arn(str(data.get("stateMachineArn", "")).partition("#")[0])
    if machine is not None and stepfunctions._state_machines[machine]["type"] != "EXPRESS":
        message = "This operation is not supported by this type of state machine"
        return _refused("StateMachineTypeNotSupported", message)
    if refusal := _problem(data, machine):
        return refusal
    token = clock.set(watch)
    try:
        execution = _begin(data, str(machine))
        amounts.add("", "Step Functions Express requests")
        _run(execution["executionArn"])
    finally:
        clock.reset(token)
    return _ok(_answer(execution, watch.elapsed))


@around(stepfunctions, "_start_execution")
def _start_execution(stock: Callable[[dict[str, Any]], Response], data: dict[str, Any]) -> Response:
    machine = stepfunctions._resolve_state_machine_arn(str(data.get("stateMachineArn", "")).partition("#")[0])
    token = clock.set(None)  # not that of an execution which starts this one
    try:
        if refusal := _problem(data, machine):
            return refusal
        if stepfunctions._state_machines[str(machine)]["type"] != "EXPRESS":
            return stock(data)
        execution = _begin(data, str(machine))
        amounts.add("", "Step Functions Express requests")
        run = copy_context().run
    finally:
        clock.reset(token)
    threading.Thread(target=run, args=(_run, execution["executionArn"]), daemon=True).start()
    return _ok({"executionArn": execution["executionArn"], "startDate": execution["startDate"]})


def _run(exec_arn: str) -> None:
    stepfunctions._run_execution(exec_arn)
    stepfunctions._executions.pop(exec_arn, None)


def _problem(data: dict[str, Any], machine: str | None) -> Response | None:
    """The error for a request that starts no execution."""
    given = data.get("input", "{}")
    if machine is None:
        message = f"State Machine Does Not Exist: '{data.get('stateMachineArn', '')}'"
        return _refused("StateMachineDoesNotExist", message)
    if len(given.encode("utf-8", "replace")) > _INPUT_BYTES:
        message = (
            "1 validation error detected: Value at 'input' failed to satisfy constraint: Member must have "
            f"length less than or equal to {_INPUT_BYTES}"
        )
        return _refused("ValidationException", message)
    try:
        strict_json.read(given)
    except ValueError as error:
        return _refused("InvalidExecutionInput", f"Invalid State Machine Execution Input: '{error}'")
    name = data.get("name", "x")
    if not 1 <= len(name) <= 80 or any(map(_is_forbidden, name)):
        return _refused("InvalidName", f"Invalid Name: '{name}'")
    return None


def _is_forbidden(character: str) -> bool:
    """Whether a name must not contain it: white space, control characters, or what AWS lists."""
    return character.isspace() or category(character) in ("Cc", "Cs") or character in _FORBIDDEN


def _begin(data: dict[str, Any], machine_arn: str) -> dict[str, Any]:
    machine, given = stepfunctions._state_machines[machine_arn], data.get("input", "{}")
    name, now = data.get("name") or str(uuid4()), now_iso()
    arn = f"arn:aws:states:{get_region()}:{get_account_id()}:express:{machine['name']}:{name}:{uuid4()}"
    started = {"input": given, "roleArn": machine["roleArn"]}
    execution: dict[str, Any] = {
        "executionArn": arn,
        "stateMachineArn": machine_arn,
        "name": name,
        "status": "RUNNING",
        "startDate": now,
        "stopDate": None,
        "input": given,
        "output": None,
        "testCase": "",
        "mockAttempts": {},
        "sync": True,  # it emits no events
        "events": [],
    }
    stepfunctions._add_event(execution, "ExecutionStarted", {"executionStartedEventDetails": started})
    stepfunctions._executions[arn] = execution
    return execution


def _answer(execution: dict[str, Any], seconds: float) -> dict[str, Any]:
    billed = math.ceil(seconds * 1000 / _BILLED_STEP) * _BILLED_STEP
    answer = {name: execution[name] for name in ("executionArn", "stateMachineArn", "name", "startDate")}
    answer |= {
        "billingDetails": {"billedDurationInMilliseconds": billed, "billedMemoryUsedInMB": _BILLED_MB},
        "input": execution["input"],
        "inputDetails": {"included": True},
        "status": execution["status"],
        "stopDate": execution["stopDate"],
    }
    if execution["status"] == "SUCCEEDED":
        return answer | {"output": execution["output"], "outputDetails": {"included": True}}
    return answer | {name: execution[name] for name in ("error", "cause") if execution.get(name) is not None}


def _ok(answer: dict[str, Any]) -> Response:
    response: Response = json_response(answer)
    return response


def _refused(code: str, message: str) -> Response:
    response: Response = error_response_json(code, message, 400)
    return response


# -- what Express workflows do not have


@around(stepfunctions, "_describe_execution")
@around(stepfunctions, "_get_execution_history")
@around(stepfunctions, "_stop_execution")
def _of_execution(stock: Callable[[dict[str, Any]], Response], data: dict[str, Any]) -> Response:
    if ":express:" in str(data.get("executionArn", "")):
        return _refused("InvalidArn", "Invalid Arn: 'Resource type not valid in this context: express'")
    return stock(data)


@around(stepfunctions, "_list_executions")
def _list_executions(stock: Callable[[dict[str, Any]], Response], data: dict[str, Any]) -> Response:
    machine = stepfunctions._state_machines.get(data.get("stateMachineArn", "")) or {}
    if machine.get("type") == "EXPRESS":
        message = "This operation is not supported by this type of state machine"
        return _refused("StateMachineTypeNotSupported", message)
    return stock(data)


@around(stepfunctions, "_create_state_machine")
def _create_state_machine(stock: Callable[[dict[str, Any]], Response], data: dict[str, Any]) -> Response:
    if data.get("type") == "EXPRESS" and (problem := _unsupported(data.get("definition", "{}"))):
        return _refused("InvalidDefinition", problem)
    return stock(data)


_machines = resource("AWS::StepFunctions::StateMachine", after=["iam.deployments"])


@_machines.create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    made = stock(logical_id, properties, stack)
    if properties.get("StateMachineType") == "EXPRESS":
        machine = stepfunctions._state_machines[made[0]]
        if problem := _unsupported(machine["definition"]):
            del stepfunctions._state_machines[made[0]]
            raise ValueError(problem)
    return made


def _unsupported(definition: str) -> str | None:
    """Why an Express workflow cannot have a definition."""
    try:
        found = strict_json.read(definition)
    except ValueError:
        return None
    for path, task in _tasks(found, "/States"):
        pattern = task.partition(":::")[2].partition(".")[2]
        if pattern.startswith(("sync", "waitForTaskToken")) or ":activity:" in task:
            return (
                "Invalid State Machine Definition: 'SCHEMA_VALIDATION_FAILED: Express state machine does not "
                f"support '{task}' at {path}/Resource'"
            )
    return None


def _tasks(part: Any, path: str) -> Iterator[tuple[str, str]]:
    """The resource of each task, with its place in the definition."""
    for name, state in (part.get("States") or {}).items() if isinstance(part, dict) else ():
        if state.get("Type") == "Task":
            yield f"{path}/{name}", str(state.get("Resource", ""))
        for inner in (*state.get("Branches", ()), state.get("ItemProcessor"), state.get("Iterator")):
            yield from _tasks(inner, f"{path}/{name}/States")
