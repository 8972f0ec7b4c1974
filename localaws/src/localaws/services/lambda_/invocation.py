"""One identity for an invocation: the caller, the context, the log and every retry see the same request id.

The emulator makes a request id for the caller's answer and another one for each run. This is also the one
place that every run passes, so aliases (`lambda_aliases`) and metrics (`lambda_metrics`) do their part here.

Faithful to: `aws_request_id` equals the `RequestId` of the answer to `Invoke`, and stays the same in each
attempt of an asynchronous invocation; `ExecutedVersion` names the version that ran.
Not to: the ids of invocations that other services make for themselves, which are made up here per run.

https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from ministack.services import lambda_svc

from localaws.services.lambda_.aliases import routed
from localaws.services.lambda_.metrics import count

Headers = dict[str, str]
Query = dict[str, Any]
Answer = tuple[int, Headers, bytes]


@dataclass
class Invocation:
    """What one invocation is called, and which version of the function took it."""

    request_id: str = field(default_factory=lambda: str(uuid4()))
    executed_version: str | None = None


#: The invocation that the code at hand works for, if any.
current: ContextVar[Invocation | None] = ContextVar("localaws_lambda_invocation", default=None)

#: The id that the emulator's gateway gave to the request at hand, and will give back to the caller.
_call: ContextVar[str | None] = ContextVar("localaws_request_id", default=None)

_stock_invoke = lambda_svc._invoke
_stock_dispatch = lambda_svc._execute_function_dispatch


def install() -> None:
    """Give each invocation an identity when it arrives, and use it when it runs."""
    lambda_svc._invoke = _invoke
    lambda_svc._execute_function_dispatch = _dispatch
    # Imported late: this module reads its settings while it is imported.
    app: Any = importlib.import_module("ministack.app")
    app._dispatch_service_request = _remembering_the_id(app._dispatch_service_request)


def _remembering_the_id(serve: Callable[..., Awaitable[Answer]]) -> Callable[..., Awaitable[Answer]]:
    async def serve_and_remember(
        method: str, path: str, headers: Headers, body: bytes, query_params: Query, request_id: str
    ) -> Answer:
        _call.set(request_id)
        return await serve(method, path, headers, body, query_params, request_id)

    return serve_and_remember


async def _invoke(
    name: str,
    event: object,
    headers: Headers,
    path_qualifier: str | None = None,
    query_params: Query | None = None,
) -> Answer:
    call = _call.get()
    invocation = Invocation(call) if call else Invocation()
    token = current.set(invocation)
    try:
        status, answered, body = await _stock_invoke(name, event, headers, path_qualifier, query_params)
    finally:
        current.reset(token)
    if invocation.executed_version and "X-Amz-Executed-Version" in answered:
        answered["X-Amz-Executed-Version"] = invocation.executed_version
    return status, answered, body


def _dispatch(
    func: dict[str, Any], config: dict[str, Any], event: object, request_id: str, started: float
) -> dict[str, Any]:
    invocation = current.get() or Invocation(request_id)
    current.set(None)  # What the run sets off, an alarm's notification say, is another invocation.
    func = routed(func, config)
    config = func["config"]
    invocation.executed_version = config["Version"]
    result: dict[str, Any] = _stock_dispatch(func, config, event, invocation.request_id, started)
    count(config, result, time.time() - started)
    return result
