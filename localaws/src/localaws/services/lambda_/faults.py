"""Functions that fail, die or are slow because a test asked for it: `aws.faults.function(...)`, `.kill(...)`.

Faithful to: what Lambda reports of an exception, of a killed environment and of a timeout, to callers, to
retries and to event sources.
Not to: an environment that `function(killed=True)` kills is not replaced: the next invocation is no cold
start. With `after_running`, an answer is lost when the function has ended, not in the middle of its work.
`kill` is for Python functions only.

https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
"""

from __future__ import annotations

import fnmatch
import time
from collections.abc import Callable
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from localaws.engines.python_runtime.process import ExecutionEnvironment
from localaws.faults.rules import Rule, matches, rules
from localaws.patching import around


@around(lambda_svc, "_execute_function_warm", after=["lambda_.execution"])
def _execute(
    stock: Callable[..., dict[str, Any]], func: dict[str, Any], event: object, request_id: str
) -> dict[str, Any]:
    name, timeout = func["config"]["FunctionName"], float(func["config"]["Timeout"])
    rule = rules.applying("function", lambda one: matches(one, name)) if rules.has("function") else None
    if rule is None:
        return stock(func, event, request_id)
    if rule.latency >= timeout:
        time.sleep(timeout)
        return _failed("Sandbox.Timedout", f"Task timed out after {timeout:.2f} seconds", request_id)
    time.sleep(rule.latency)
    ran = stock(func, event, request_id) if rule.after_running or not _ends(rule) else {}
    if not _ends(rule):
        return ran
    if rule.killed:
        kind, reason = "Runtime.ExitError", "Runtime exited with error: signal: killed"
        return _failed(kind, reason, request_id, ran.get("log", ""))
    said: dict[str, Any] = {"errorType": rule.error, "errorMessage": rule.message, "stackTrace": []}
    log = f"{ran.get('log', '')}[ERROR] {rule.error}: {rule.message}\n"
    return {"body": said, "error": True, "function_error": "Unhandled", "log": log}


def kill(pattern: str, *, lost: bool) -> int:
    """Kill the environments of functions now, also those that work; return how many there were."""
    environments = [
        worker
        for workers in list(lambda_runtime._workers.values())
        for worker in list(workers)
        if isinstance(worker, ExecutionEnvironment) and fnmatch.fnmatchcase(worker.func_name, pattern)
    ]
    for environment in environments:
        environment.kill(lost=lost)
    return len(environments)


def _ends(rule: Rule) -> bool:
    """Whether the invocation ends with an error."""
    return rule.killed or rule.error is not None


def _failed(kind: str, reason: str, request_id: str, log: str = "") -> dict[str, Any]:
    said = {"errorType": kind, "errorMessage": f"RequestId: {request_id} Error: {reason}"}
    log = f"{log}{request_id} {reason}\n"
    return {"body": said, "error": True, "function_error": "Unhandled", "log": log}
