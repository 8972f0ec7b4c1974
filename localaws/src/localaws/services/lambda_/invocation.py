"""One request id for an invocation: in the response, the context object, the log and every retry.

The emulator generates a request id for the response and another for each run. Every run passes through this
module, so it also selects the version behind an alias (`lambda_.aliases`) and counts metrics
(`lambda_.metrics`).

Faithful to: `aws_request_id` equals the `RequestId` in the response of `Invoke`, and is the same in each
attempt of an asynchronous invocation. `ExecutedVersion` is the version that ran.
Not to: the request ids of invocations by other services, which are generated here for each run.

https://docs.aws.amazon.com/lambda/latest/dg/python-context.html
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from ministack.services import lambda_svc

from localaws.patching import around
from localaws.services.lambda_.aliases import routed
from localaws.services.lambda_.log_lines import initialization
from localaws.services.lambda_.metrics import count

Headers = dict[str, str]
Query = dict[str, Any]
Answer = tuple[int, Headers, bytes]


@dataclass
class Invocation:
    """The request id of an invocation, and the version that ran."""

    request_id: str = field(default_factory=lambda: str(uuid4()))
    executed_version: str | None = None


#: The current invocation, if there is one.
current: ContextVar[Invocation | None] = ContextVar("localaws_lambda_invocation", default=None)

#: The request id that the emulator's gateway has generated and returns to the caller.
call: ContextVar[str | None] = ContextVar("localaws_request_id", default=None)


@around("ministack.app", "_dispatch_service_request")
async def _dispatch_service_request(
    stock: Callable[..., Awaitable[Answer]],
    method: str,
    path: str,
    headers: Headers,
    body: bytes,
    query_params: Query,
    request_id: str,
) -> Answer:
    call.set(request_id)
    return await stock(method, path, headers, body, query_params, request_id)


@around(lambda_svc, "_invoke")
async def _invoke(
    stock: Callable[..., Awaitable[Answer]],
    name: str,
    event: object,
    headers: Headers,
    path_qualifier: str | None = None,
    query_params: Query | None = None,
) -> Answer:
    request_id = call.get()
    invocation = Invocation(request_id) if request_id else Invocation()
    token = current.set(invocation)
    try:
        status, answered, body = await stock(name, event, headers, path_qualifier, query_params)
    finally:
        current.reset(token)
    if invocation.executed_version and "X-Amz-Executed-Version" in answered:
        answered["X-Amz-Executed-Version"] = invocation.executed_version
    return status, answered, body


@around(
    lambda_svc,
    "_execute_function_dispatch",
    after=["lambda_.payloads", "lambda_.response_streaming", "lambda_.segments"],
)
def _dispatch(
    stock: Callable[..., dict[str, Any]],
    func: dict[str, Any],
    config: dict[str, Any],
    event: object,
    request_id: str,
    started: float,
) -> dict[str, Any]:
    invocation = current.get() or Invocation(request_id)
    current.set(None)  # An invocation that this one causes, of an alarm's action for example, is another one.
    func = routed(func, config)
    config = func["config"]
    invocation.executed_version = config["Version"]
    initialization.set((0.0, 0.0))
    result = stock(func, config, event, invocation.request_id, started)
    _, waited = initialization.get()
    count(config, result, max(0.0, time.time() - started - waited))
    return result
