"""Functions run in execution environments like those of Lambda, and callers see how they failed.

The emulator reports every exception as `Runtime.HandlerError`, ends the process that raised it, ends busy
processes when their function changes, passes the environment of the host to the handler, and waits 50 ms for
output that a handler may never write. It makes text files of the links in archives. Its custom runtimes are
found in the code only, not in a layer.

Faithful to: error type, message, request id and stack trace in the payload; `FunctionError: Unhandled`;
timeouts, exits, import errors and results that cannot be serialised, under their documented names; what
`engines.python_runtime` lists, and `engines.runtime_api` for functions with a custom runtime, an extension or
a wrapper script; the client context, which these functions get; the payload of a request and, with the
Runtime API, of its response, byte by byte.
Not to: Node.js, whose functions run as the emulator runs them, without extensions. A deployment reports
layers with an extension that is not started, and a size of `/tmp` that has no effect.

https://docs.aws.amazon.com/lambda/latest/dg/python-exceptions.html
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import base64
import binascii
import json
import threading
import time
import zipfile
from collections.abc import Awaitable, Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime
from ministack.services import lambda_svc

from localaws.engines import namespaces
from localaws.engines.python_runtime.archives import extract
from localaws.engines.python_runtime.environment import layer_archives, unpack
from localaws.engines.python_runtime.process import Answer, ExecutionEnvironment
from localaws.engines.runtime_api import programs
from localaws.engines.runtime_api.environment import ApiEnvironment
from localaws.engines.runtime_api.sandbox import Invocation
from localaws.patching import Properties, around, recorded_only, replaces
from localaws.services.lambda_ import concurrency, log_lines, payloads, segments, trace


def _has_idle_extension(properties: Properties) -> bool:
    """Whether a layer has an extension that is not started with the function."""
    if programs.starts_extensions(properties):
        return False
    return bool(programs.extensions_in(unpack(*layer_archives(properties))))


recorded_only("AWS::Lambda::Function", "Layers", when=_has_idle_extension)
recorded_only(
    "AWS::Lambda::Function",
    "EphemeralStorage",
    when=lambda properties: not (programs.starts_extensions(properties) and namespaces.available()),
)

_client_context: ContextVar[str] = ContextVar("localaws_client_context", default="")
_resetting = False
_PROVISIONED = " provisioned"


@dataclass(frozen=True)
class _Request:
    """A request to `Invoke`.

    Attributes:
        event: Its payload.
        payload: The same, as it was sent.
        waits: Whether the caller gets the result.
    """

    event: object
    payload: bytes
    waits: bool


_requested: ContextVar[_Request | None] = ContextVar("localaws_invoke_request", default=None)


def _request_of(event: object) -> _Request:
    """The request with an event, which may also be from another service, or from a destination."""
    found = _requested.get()
    if found is not None and found.event is event:
        return found
    return _Request(event, json.dumps(event).encode(), waits=False)


def _class_for(config: dict[str, Any]) -> Any:
    """What runs the function; None if the emulator does."""
    if programs.needed(config):
        return ApiEnvironment
    return ExecutionEnvironment if programs.is_python(config) else None


@around(lambda_runtime, "_worker_class_for")
def _worker_class_for(stock: Callable[..., Any], config: dict[str, Any]) -> Any:
    return _class_for(config) or stock(config)


@replaces(lambda_svc, "_extract_zip_preserving_mode")
def _extract_zip_preserving_mode(zf: zipfile.ZipFile, dest_dir: str) -> None:
    extract(zf, Path(dest_dir))


@around(lambda_runtime, "reset")
def _reset(stock: Callable[[], None]) -> None:
    global _resetting
    _resetting = True
    try:
        stock()
    finally:
        _resetting = False


@around(lambda_runtime, "kill_workers")
def _kill_workers(stock: Callable[..., None], workers: Iterable[Any]) -> None:
    """End environments whose function has changed; busy ones finish their invocation first."""
    idle = []
    for worker in workers:
        if isinstance(worker, ApiEnvironment):
            if _resetting:
                worker.kill()
            else:
                worker.retire()
        elif isinstance(worker, ExecutionEnvironment) and worker.in_use:
            worker.retire()
        else:
            idle.append(worker)
    stock(idle)


@around(lambda_svc, "_invoke", after=["lambda_.invocation"])
async def _invoke(
    stock: Callable[..., Awaitable[Any]],
    name: str,
    event: object,
    headers: dict[str, str],
    path_qualifier: str | None = None,
    query_params: dict[str, Any] | None = None,
) -> Any:
    """Keep the client context and the payload of the request for the function."""
    try:
        context = base64.b64decode(headers.get("x-amz-client-context", "")).decode()
    except (binascii.Error, UnicodeDecodeError):
        context = ""
    token = _client_context.set(context)
    payload, waits = payloads.request.get(), headers.get("x-amz-invocation-type", "").lower() != "event"
    payloads.request.set(b"")  # An invocation that this one causes has another.
    given = _requested.set(_Request(event, payload, waits) if payload else None)
    try:
        return await stock(name, event, headers, path_qualifier, query_params)
    finally:
        _client_context.reset(token)
        _requested.reset(given)


@around(lambda_svc, "_execute_function_provided_warm")
def _execute_provided(
    stock: Callable[..., dict[str, Any]], func: dict[str, Any], event: object, request_id: str
) -> dict[str, Any]:
    """Custom runtimes run as all functions do."""
    result: dict[str, Any] = lambda_svc._execute_function_warm(func, event, request_id)
    return result


@around(lambda_svc, "_execute_function_docker")
def _execute_image(
    stock: Callable[..., dict[str, Any]], func: dict[str, Any], event: object, request_id: str
) -> dict[str, Any]:
    """So do images, without Docker."""
    result: dict[str, Any] = lambda_svc._execute_function_warm(func, event, request_id)
    return result


@around(lambda_svc, "_execute_function_warm")
def _execute(
    stock: Callable[..., dict[str, Any]], func: dict[str, Any], event: object, request_id: str
) -> dict[str, Any]:
    """Invoke the function, and return the result in the emulator's form."""
    config: dict[str, Any] = func["config"]
    code, runs = func.get("code_zip") or b"", _class_for(config)
    if not runs or not (code or programs.is_image(config)):
        return stock(func, event, request_id)
    lambda_svc._ensure_reaper_thread()
    environment = acquire(config, code)
    # The pool reuses an environment after changes that matter, such as that of the role.
    environment.config = config
    if isinstance(environment, ApiEnvironment):
        return _execute_with_api(environment, event, request_id)
    message = {
        "event": _request_of(event).payload.decode(errors="replace"),
        "request_id": request_id,
        "function_arn": config["FunctionArn"],
        "environment": _changing_variables(config),
    }
    try:
        answer = environment.invoke(message, float(config["Timeout"]))
        log_lines.initialization.set((answer.initialized, answer.waited))
        if (placed := segments.current.get()) is not None:
            placed.initialized, placed.waited = answer.initialized, answer.waited
        return _result(answer, request_id, float(config["Timeout"]), environment)
    finally:
        lambda_svc.release_worker(environment)


def acquire(config: dict[str, Any], code: bytes) -> Any:
    """Lease an environment of a version from the pool; None if the emulator runs the function.

    Environments of provisioned concurrency are apart from the others.
    """
    name, runs = config["FunctionName"], _class_for(config)
    if runs is None:
        return None
    kind = config["Version"] + (_PROVISIONED if concurrency.provisioned.get() else "")
    environment, _ = lambda_svc.acquire_worker(name, config, code, qualifier=kind)
    if isinstance(environment, runs):
        return environment
    # The function has had no extension when the environment was made, or has none any more.
    lambda_svc.release_worker(environment)
    account, region = lambda_runtime._account_region_from_function_config(config)
    lambda_svc.invalidate_worker(name, qualifier=kind, account=account, region=region)
    environment, _ = lambda_svc.acquire_worker(name, config, code, qualifier=kind)
    return environment


def _execute_with_api(environment: ApiEnvironment, event: object, request_id: str) -> dict[str, Any]:
    config = environment.config
    headers = {"Lambda-Runtime-Trace-Id": trace.header(config)}
    if _client_context.get():
        headers["Lambda-Runtime-Client-Context"] = _client_context.get()
    request = _request_of(event)
    invocation = Invocation(request_id, request.payload, config["FunctionArn"], 0.0, headers)
    try:
        result = environment.invoke(invocation, float(config["Timeout"]))
        # Other services than Lambda itself look into it.
        return {**result, "body": result["payload"]} if request.waits and "payload" in result else result
    finally:
        environment.release(invocation, lambda: lambda_svc.release_worker(environment), _Slot())


class _Slot:
    """The concurrency of an invocation whose extensions work on, after the answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._key: str | None = None
        self._done = False

    def __enter__(self) -> None:
        _slot.set(self)

    def __exit__(self, *_: object) -> None:
        self.release(done=True)

    def release(self, key: str | None = None, *, done: bool = False) -> None:
        """Release the slot when both have come: the end of the invocation, with its key, and of the work."""
        with self._lock:
            self._key, self._done = key or self._key, done or self._done
            if self._key and self._done:
                lambda_svc._release_execution_slot(self._key)


_slot: ContextVar[_Slot | None] = ContextVar("localaws_concurrency_slot", default=None)


@around(lambda_svc, "_release_execution_slot")
def _release_execution_slot(stock: Callable[[str], None], key: str) -> None:
    slot = _slot.get()
    _slot.set(None)
    if slot is None:
        stock(key)
    else:
        slot.release(key)


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
