"""APIs invoke functions only with permission, for a limited time, and never show why a function failed.

The emulator calls every function, waits as long as it runs, and answers with the error and its stack trace.
Behind a WebSocket API it starts workers of its own for functions, past everything that holds for others.

Faithful to: HTTP and REST APIs call the function of an integration or an authorizer if its resource policy
allows `apigateway.amazonaws.com` with the ARN of the stage, method and route, or of the authorizer, or if the
given role may invoke it and trusts API Gateway; WebSocket APIs too, whose client otherwise gets the error
below, or no connection. Requests over 6 MB are not sent. After the timeout of the
integration nothing waits for the function, which continues.
Not to: the other rules for WebSocket APIs, and the status with which they refuse a connection.

https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html
https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html
https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ministack.core import lambda_runtime
from ministack.core.concurrency import run_reentrant
from ministack.core.responses import request_scope
from ministack.services import apigateway, apigateway_v1, lambda_svc

from localaws.patching import around, replaces
from localaws.services.apigateway.exchanges import Call, Exchange
from localaws.services.iam.invocations import in_account_of, service_may_invoke
from localaws.services.iam.roles import role_allows, role_trusts
from localaws.services.lambda_ import segments
from localaws.services.lambda_.payloads import SYNCHRONOUS

logger = logging.getLogger("localaws.apigateway")

_SERVICE = "apigateway.amazonaws.com"
_VARIABLE = re.compile(r"\$\{stageVariables\.(\w+)\}")
FORBIDDEN = (
    "The IAM role configured on the integration or API Gateway doesn't have permissions to call the "
    "integration. Check the permissions and try again."
)


_CONNECTION = ("$connect", "$disconnect")


class CallError(Exception):
    """A call that API Gateway made failed."""


class RejectedError(CallError):
    """Lambda does not run the function: no permission, no such function, or throttled."""


class FailedError(CallError):
    """The function failed, or timed out by itself: the error that it returned."""

    def __init__(self, text: str, payload: Any) -> None:
        super().__init__(text)
        self.payload = payload


class TimedOutError(CallError):
    """The integration took longer than its timeout."""


class TooLargeError(CallError):
    """The request is larger than the function may get."""


async def invoke(
    exchange: Exchange,
    call: Call,
    *,
    uri: str,
    role: str | None,
    source: str,
    event: Mapping[str, Any],
    seconds: float,
) -> Any:
    """Invoke a function for an API, and return what it returned.

    Args:
        exchange: The request.
        call: What is known of the invocation afterwards.
        uri: The URI of the integration or authorizer.
        role: The role to call it with, instead of the function's policy.
        source: The ARN that API Gateway calls for.
        event: The event.
        seconds: How long to wait.

    Raises:
        CallError: There is no result.
    """
    begin, call.request_id = time.monotonic(), str(uuid.uuid4())
    try:
        result = await _invoke(exchange, call, uri, role, source, event, seconds)
    except CallError as error:
        call.error = str(error)
        logger.warning("%s: %s", source, error)
        raise
    finally:
        call.latency = int((time.monotonic() - begin) * 1000)
    return result


async def _invoke(
    exchange: Exchange,
    call: Call,
    uri: str,
    role: str | None,
    source: str,
    event: Mapping[str, Any],
    seconds: float,
) -> Any:
    variables = exchange.variables
    uri = _VARIABLE.sub(lambda match: str(variables.get(match[1], "")), uri)
    reference = apigateway_v1._extract_lambda_ref_from_integration_uri(uri)
    if not reference.startswith("arn:"):
        reference = f"arn:aws:lambda:{exchange.region}:{exchange.account}:function:{reference}"
    call.service_status = 403
    with request_scope(exchange.account, exchange.region):
        if not _may_invoke(reference, role, source, exchange.account):
            raise RejectedError(FORBIDDEN)
    with in_account_of(reference):
        record, config, _name = lambda_svc._get_func_record_for_ref(reference)
    call.service_status = 404
    if record is None or config is None:
        raise RejectedError(f"there is no function {reference}")
    call.service_status = 413
    if len(json.dumps(event, ensure_ascii=False).encode("utf-8", "surrogatepass")) > SYNCHRONOUS:
        raise TooLargeError(f"the event of {reference} is over {SYNCHRONOUS:,} bytes")
    call.service_status = None
    segments.caller.set(exchange.context)
    invocation = asyncio.ensure_future(
        run_reentrant(
            lambda_svc._execute_function_with_config_scope,
            lambda_svc._execution_record_for_config(record, config),
            event,
            thread_name="localaws-apigateway-invoke",
        )
    )
    invocation.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait([invocation], timeout=seconds)
    if not invocation.done():
        raise TimedOutError(f"{reference} did not return within {seconds:g} s")
    return _result(call, invocation.result(), reference)


def _result(call: Call, result: Mapping[str, Any], reference: str) -> Any:
    body = result.get("body")
    if result.get("throttle"):
        call.service_status = 429
        raise RejectedError(f"{reference} is throttled")
    call.service_status = 200
    if result.get("error"):
        raise FailedError(f"{reference}: {json.dumps(body, default=str)[:1000]}", body)
    if isinstance(body, bytes):
        body = body.decode("utf-8", "replace")
    return body


def _may_invoke(function: str, role: str | None, source: str, account: str) -> bool:
    if role:
        return role_trusts(role, _SERVICE) and role_allows(role, "lambda:InvokeFunction", function)
    return service_may_invoke(function, _SERVICE, source, account)


# --- WebSocket APIs


def refused_by_websocket_api(record: Mapping[str, Any], uri: str, role: str | None, *parts: str) -> bool:
    """Whether a WebSocket API may not invoke a function; the log says so.

    Args:
        record: Account, Region and id of the API.
        uri: The URI of the integration or authorizer.
        role: The role to call it with, instead of the function's policy.
        *parts: What the API calls for: stage and route, or the authorizer.
    """
    account, region, api = record["account"], record["region"], record["api"]
    reference = apigateway_v1._extract_lambda_ref_from_integration_uri(uri)
    if not reference.startswith("arn:"):
        reference = f"arn:aws:lambda:{region}:{account}:function:{reference}"
    source = ":".join(["arn:aws:execute-api", region, account, "/".join([api, *parts])])
    with request_scope(account, region):
        allowed = _may_invoke(reference, role, source, account)
    if not allowed:
        logger.warning("%s: %s", source, FORBIDDEN)
    return not allowed


@around(apigateway, "_match_ws_route")
def _match_ws_route(stock: Callable[..., Any], api_id: str, route_key: str) -> Any:
    """`$default` is for messages only, not for connections without a route.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-keys-connect-disconnect.html
    """
    found = stock(api_id, route_key)
    return None if found and route_key in _CONNECTION and found.get("routeKey") != route_key else found


@around(apigateway, "_invoke_ws_lambda")
async def _invoke_for_websocket_api(
    stock: Callable[..., Awaitable[Any]],
    api_id: str,
    account_id: str,
    region: str,
    route: dict[str, Any],
    stage: str,
    connection_id: str,
    event_type: str,
    message_id: str,
    *args: Any,
    **more: Any,
) -> Any:
    target = str(route.get("target") or "").rpartition("/")[2]
    integration = apigateway._integrations.get(api_id, {}).get(target) or {}
    if integration.get("integrationType") in ("AWS", "AWS_PROXY"):
        record = {"account": account_id, "region": region, "api": api_id}
        uri, role = str(integration.get("integrationUri") or ""), integration.get("credentialsArn")
        if refused_by_websocket_api(record, uri, role, stage, str(route.get("routeKey"))):
            return {"statusCode": 500, "body": _error_of_websocket_api(connection_id, message_id)}
    given = api_id, account_id, region, route, stage, connection_id, event_type, message_id, *args
    return await stock(*given, **more)


def _error_of_websocket_api(connection: str, request: str) -> str:
    return json.dumps({"message": "Internal server error", "connectionId": connection, "requestId": request})


class _Worker:
    """What a WebSocket API takes for the worker of a function, which runs here like every other function."""

    def __init__(self, name: str, config: dict[str, Any]) -> None:
        self._name, self._config = name, config

    def invoke(self, event: dict[str, Any], request: str) -> dict[str, Any]:
        """Invoke the function, and hide why it failed."""
        record, _config, _name = lambda_svc._get_func_record_for_ref(self._name)
        execution = lambda_svc._execution_record_for_config(record, self._config)
        result = lambda_svc._execute_function_with_config_scope(execution, event)
        body = result.get("body")
        if result.get("error") or result.get("throttle"):
            logger.warning("%s: %s", self._name, json.dumps(body, default=str)[:1000])
            connection = event["requestContext"]["connectionId"]
            return {"status": "error", "error": _error_of_websocket_api(connection, request)}
        return {"status": "ok", "result": body if isinstance(body, dict) else {}}


@replaces(lambda_runtime, "get_or_create_worker")
def _worker(func_name: str, config: dict[str, Any], code_zip: bytes, qualifier: str = "$LATEST") -> _Worker:
    return _Worker(func_name, config)
