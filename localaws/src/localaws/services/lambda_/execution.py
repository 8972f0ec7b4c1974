"""Python functions run in execution environments like those of Lambda, and callers see how they failed.

The emulator reports every exception as `Runtime.HandlerError`, ends the process that raised it, ends busy
processes when their function changes, passes the environment of the host to the handler, and waits 50 ms for
output that a handler may never write.

Faithful to: error type, message, request id and stack trace in the payload; `FunctionError: Unhandled`;
timeouts, exits, import errors and results that cannot be serialised, under their documented names; what
`engines.python_runtime` lists.
Not to: other runtimes. Node.js and custom runtimes run as the emulator runs them.

https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from localaws.engines.python_runtime.process import Answer, ExecutionEnvironment
from localaws.patching import around
from localaws.services.lambda_ import trace


def _is_python(config: dict[str, Any]) -> bool:
    return str(config.get("Runtime", "")).startswith("python")


@around(lambda_runtime, "_worker_class_for")
def _worker_class_for(stock: Callable[..., Any], config: dict[str, Any]) -> Any:
    return ExecutionEnvironment if _is_python(config) else stock(config)


@around(lambda_runtime, "kill_workers")
def _kill_workers(stock: Callable[..., None], workers: Iterable[Any]) -> None:
    """End environments whose function has changed; busy ones finish their invocation first."""
    idle = []
    for worker in workers:
        if isinstance(worker, ExecutionEnvironment) and worker.in_use:
            worker.retire()
        else:
            idle.append(worker)
    stock(idle)


@around(lambda_svc, "_execute_function_warm")
def _execute(
    stock: Callable[..., dict[str, Any]], func: dict[str, Any], event: object, request_id: str
) -> dict[str, Any]:
    """Invoke the function, and return the result in the emulator's form."""
    config: dict[str, Any] = func["config"]
    code = func.get("code_zip")
    if not code or not _is_python(config):
        return stock(func, event, request_id)
    lambda_svc._ensure_reaper_thread()
    environment, _ = lambda_svc.acquire_worker(
        config["FunctionName"], config, code, qualifier=config["Version"]
    )
    # The pool reuses an environment after changes that matter, such as that of the role.
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
    """The variables of a single invocation: the trace header, and the state of a durable function."""
    return {"_X_AMZN_TRACE_ID": trace.header(config), **lambda_svc._durable_env_overlay()}


def _result(
    answer: Answer, request_id: str, seconds: float, environment: ExecutionEnvironment
) -> dict[str, Any]:
    """The result in the emulator's form."""
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
    # The Python runtime handles no exceptions of handlers, so Lambda reports all of them as unhandled.
    return {"body": payload, "error": True, "function_error": "Unhandled", "log": log}
