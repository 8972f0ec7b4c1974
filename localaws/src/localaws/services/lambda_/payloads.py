"""The size of what a function is sent and returns, and that it is sent JSON.

The emulator takes payloads of any size, and runs one that is not JSON as `{}`.

Faithful to: a request with more than 6 MB (synchronous) or 1 MB (asynchronous, since October 2025) is refused
with 413 `RequestEntityTooLargeException`, which the API reference calls `RequestTooLargeException`. A request
that is not JSON is refused with 400 `InvalidRequestContentException`. A response of more than 6 MB and 100
bytes is the function error `Function.ResponseSizeTooLarge`.
Not to: response streaming, whose limit is 200 MB; the position that AWS names in JSON it cannot parse.

https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import error_response_json
from ministack.services import lambda_svc

from localaws.patching import around

SYNCHRONOUS, ASYNCHRONOUS = 6 * 1024 * 1024, 1024 * 1024
RESPONSE = SYNCHRONOUS + 100

Response = tuple[int, dict[str, Any], bytes]

#: The payload of the current request to invoke a function, until `lambda_.execution` takes it.
request: ContextVar[bytes] = ContextVar("localaws_payload", default=b"")


@around(
    lambda_svc,
    "handle_request",
    after=["iam.functions", "lambda_.event_invoke_configs", "lambda_.cross_account"],
)
async def _handle_request(
    stock: Callable[..., Awaitable[Response]],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
) -> Response:
    if method == "POST" and path.rstrip("/").endswith("invocations"):
        refused = _refusal(body, asynchronous=headers.get("x-amz-invocation-type", "").lower() == "event")
        if refused:
            answer: Response = error_response_json(*refused)
            return answer
        token = request.set(body)
        try:
            return await stock(method, path, headers, body, query_params)
        finally:
            request.reset(token)
    return await stock(method, path, headers, body, query_params)


def _refusal(body: bytes, *, asynchronous: bool) -> tuple[str, str, int] | None:
    """Code, message and status of the error for a payload that Lambda does not take."""
    size = len(body)
    if asynchronous and size > ASYNCHRONOUS:
        message = (
            f"{size} byte payload is too large for the Event invocation type (limit {ASYNCHRONOUS} bytes)"
        )
        return "RequestEntityTooLargeException", message, 413
    if size > SYNCHRONOUS:
        message = f"Request must be smaller than {SYNCHRONOUS} bytes for the InvokeFunction operation"
        return "RequestEntityTooLargeException", message, 413
    try:
        json.loads(body or b"{}", parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        message = f"Could not parse request body into json: Could not parse payload into json: {error}"
        return "InvalidRequestContentException", message, 400
    return None


def _no_number(name: str) -> None:
    raise ValueError(f"Non-standard token '{name}'")


#: Whether the result of the current invocation is streamed to its caller, so that 6 MB are no limit.
streaming: ContextVar[bool] = ContextVar("localaws_streaming", default=False)


@around(lambda_svc, "_execute_function_dispatch", after=["lambda_.response_streaming"])
def _dispatch(stock: Callable[..., dict[str, Any]], *args: Any, **named: Any) -> dict[str, Any]:
    result = stock(*args, **named)
    body = result.get("body")
    if streaming.get() or result.get("error") or result.get("throttle") or body is None:
        return result
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    if len(text) <= RESPONSE:
        return result
    error = {
        "errorMessage": f"Response payload size exceeded maximum allowed payload size ({RESPONSE} bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }
    return {**result, "body": error, "error": True, "function_error": "Unhandled"}
