"""Python functions run in execution environments like Lambda's, and callers learn how they failed.

The emulator answers every exception with `Runtime.HandlerError`, ends the process that raised it and, when a
function changes, those that are at work, hands the host's environment to the handler, and waits 50 ms for
output that a quiet handler never writes.

Faithful to: error type, message, request id and stack trace in the payload; `FunctionError: Unhandled`;
timeouts, exits, import errors and results that are no JSON under their documented names; what
`lambda_process` and `lambda_environment` say.
Not to: other runtimes (Node.js and custom ones stay as the emulator runs them).

https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from localaws.engines.python_runtime.process import Answer, ExecutionEnvironment
from localaws.services.lambda_ import trace as lambda_trace

_stock_worker_class = lambda_runtime._worker_class_for
_stock_execute = lambda_svc._execute_function_warm
_stock_end = lambda_runtime.kill_workers


def install() -> None:
    """Run Python functions in our execution environments."""
    lambda_runtime._worker_class_for = _worker_class
    lambda_runtime.kill_workers = _end
    lambda_svc._execute_function_warm = _execute


def _is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python")


def _worker_class(config: dict[str, Any]) -> Any:
    return ExecutionEnvironment if _is_python(config) else _stock_worker_class(config)


def _end(workers: Iterable[Any]) -> None:
    """End environments that a change of their function has made useless; busy ones may finish."""
    idle = []
    for worker in workers:
        if isinstance(worker, ExecutionEnvironment) and worker.in_use:
            worker.retire()
        else:
            idle.append(worker)
    _stock_end(idle)


def _execute(func: dict[str, Any], event: object, request_id: str) -> dict[str, Any]:
    """Run one event, and return the result in the emulator's form."""
    config: dict[str, Any] = func["config"]
    code = func.get("code_zip")
    if not code or not _is_python(config):
        result: dict[str, Any] = _stock_execute(func, event, request_id)
        return result
    lambda_svc._ensure_reaper_thread()
    environment, _ = lambda_svc.acquire_worker(
        config["FunctionName"], config, code, qualifier=config["Version"]
    )
    # The pool keeps an environment through changes that matter too, such as that of the role.
    environment.config = config
    message = {
        "event": event,
        "request_id": request_id,
        "function_arn": config["FunctionArn"],
        "environment": _changing_variables(config),
    }
    try:
        answer = environment.invoke(message, float(config["Timeout"]))
        return _result(answer, request_id, float(config["Timeout"]), environment)
    finally:
        lambda_svc.release_worker(environment)


def _changing_variables(config: dict[str, Any]) -> dict[str, str]:
    """The variables that belong to one invocation: the trace, and the state of a durable function."""
    return {"_X_AMZN_TRACE_ID": lambda_trace.header(config), **lambda_svc._durable_env_overlay()}


def _result(
    answer: Answer, request_id: str, seconds: float, environment: ExecutionEnvironment
) -> dict[str, Any]:
    """The emulator's form of what came back."""
    log = answer.log
    if answer.line and not answer.timed_out:
        reply = json.loads(answer.line)
        if "result" in reply:
            return {"body": reply["result"], "log": log}
        return _failure(reply["error"], log)
    if answer.timed_out:
        kind, reason = "Sandbox.Timedout", f"Task timed out after {seconds:.2f} seconds"
    else:
        kind, reason = "Runtime.ExitError", environment.exit_status()
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
    log += f"{stamp} {request_id} {reason}\n"
    return _failure({"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {reason}"}, log)


def _failure(payload: dict[str, Any], log: str) -> dict[str, Any]:
    # Python's runtime handles no exception for the function: AWS calls each of them unhandled.
    return {"body": payload, "error": True, "function_error": "Unhandled", "log": log}
