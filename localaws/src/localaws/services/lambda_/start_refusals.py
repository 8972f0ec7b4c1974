"""Invocations whose execution environment cannot start, for a reason that is not the function's.

What makes an environment raises `StartRefusedError`: its key is disabled, its file system cannot be mounted.

Faithful to: `Invoke` returns the error of the service, with its status; the function has not run.
Environments that run are not asked again.
Not to: asynchronous events and event sources, for which this is an error of the function.

https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from localaws.patching import around


class StartRefusedError(Exception):
    """A new environment cannot start.

    Args:
        code: Lambda's error.
        status: Its status.
        text: Its text.
    """

    def __init__(self, code: str, status: int, text: str) -> None:
        super().__init__(text)
        self.code, self.status, self.text = code, status, text


_refused: ContextVar[list[StartRefusedError] | None] = ContextVar("localaws_start_refused", default=None)


@around(
    lambda_svc, "_execute_function_warm", after=["lambda_.execution", "lambda_.faults", "lambda_.node_errors"]
)
def _execute(
    stock: Callable[..., dict[str, Any]], func: dict[str, Any], event: object, request_id: str
) -> dict[str, Any]:
    try:
        return stock(func, event, request_id)
    except StartRefusedError as reason:
        if (found := _refused.get()) is not None:
            found.append(reason)
        said = {"errorType": reason.code, "errorMessage": reason.text}
        return {"body": said, "error": True, "function_error": "Unhandled", "log": f"{reason.text}\n"}


@around(lambda_svc, "_invoke", after=["lambda_.execution", "lambda_.invocation"])
async def _invoke(
    stock: Callable[..., Awaitable[Any]],
    name: str,
    event: object,
    headers: dict[str, str],
    path_qualifier: str | None = None,
    query_params: dict[str, Any] | None = None,
) -> Any:
    found: list[StartRefusedError] = []
    token = _refused.set(found)
    try:
        answer = await stock(name, event, headers, path_qualifier, query_params)
    finally:
        _refused.reset(token)
    return error_response_json(found[0].code, found[0].text, found[0].status) if found else answer
