"""REST APIs: what happens to a request, from the method to the response.

    method -> authorizer -> API key -> throttle, quota -> validation -> cache -> integration
                                                                     -> metrics, access log

The emulator asks no permission, accepts malformed responses, waits without limit, and has no cache.

Faithful to: the gateway response of each error, with its type, default status and message, customised as the
deployment says: 403 `Missing Authentication Token` for what has no method, 500 for a function that Lambda
does not run, 502 for one that fails or returns no valid response, 504 `Endpoint request timed out` after the
timeout of the integration, by default 29 seconds, 413 for over 10 MB or more than a function may get.
Not to: snapshots of deployments: a changed method is served without a new deployment.

https://docs.aws.amazon.com/apigateway/latest/developerguide/supported-gateway-response-types.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
https://docs.aws.amazon.com/lambda/latest/dg/services-apigateway.html
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable
from typing import Any
from urllib.parse import quote, unquote

from ministack.services import apigateway_v1

from localaws import strict_json
from localaws.patching import replaces
from localaws.services.apigateway import (
    access_logs,
    caching,
    compression,
    events,
    exchanges,
    functions,
    integrations,
    metrics,
    responses,
    traces,
    validation,
)
from localaws.services.apigateway.exchanges import Exchange
from localaws.services.apigateway.requests import MAX_BODY_BYTES, MAX_HEADER_BYTES, METHODS, Response, message

logger = logging.getLogger("localaws.apigateway")

TIMEOUT = 29_000  # milliseconds

# AWS has a space before the message of these types; the emulator has it for others.
_SPACED = {"INTEGRATION_TIMEOUT", "INTEGRATION_FAILURE", "REQUEST_TOO_LARGE"}

Request = dict[str, Any]  # what the emulator's gateway responses map from
Method = dict[str, Any]


@replaces(apigateway_v1, "_handle_execute_in_scope")
async def _serve(
    api_id: str,
    stage_name: str,
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
    owner_account_id: str,
    owner_region: str,
) -> Response:
    api = apigateway_v1._rest_apis.get(api_id)
    stage = apigateway_v1._stages_v1.get(api_id, {}).get(stage_name)
    client = exchanges.client_request(headers, path, "")
    path = _raw(client.path, stage_name, path)
    own_name = client.host.endswith((".localhost", ".amazonaws.com"))
    if api is None or stage is None or (_yes(api.get("disableExecuteApiEndpoint")) and own_name):
        return message(403, "Forbidden", **{"x-amzn-ErrorType": "ForbiddenException"})
    exchange = Exchange(
        kind="rest",
        account=owner_account_id,
        region=owner_region,
        api_id=api_id,
        api=api,
        stage_name=stage_name,
        stage=stage,
        method=method,
        path=path,
        body=body or b"",
        client=client,
    )
    request = {
        "api_id": api_id,
        "stage_name": stage_name,
        "stage": stage,
        "headers": headers or {},
        "query_params": query_params or {},
        "path_params": {},
        "resource_path": "",
        "request_id": exchange.request_id,
    }
    segment = traces.begin(exchange)
    token = exchanges.current.set(exchange)
    try:
        try:
            response = await _answer(exchange, request)
        except Exception:  # the last line of defence: clients never see what went wrong inside
            logger.exception("500 from %s", exchange.arn(stage_name))
            response = error("DEFAULT_5XX", "Internal server error")
        if isinstance(response, apigateway_v1._GatewayError):
            response = _gateway_response(exchange, request, response)
        else:
            response = compression.applied(exchange, response)
    finally:
        exchanges.current.reset(token)
    own = {"x-amzn-RequestId": exchange.request_id, "x-amz-apigw-id": exchange.extended_id}
    known = {name.lower() for name in own}
    kept = {name: value for name, value in response[1].items() if name.lower() not in known}
    response = response[0], kept | own, response[2]
    metrics.count_rest(exchange, response)
    access_logs.write(exchange, response)
    traces.end(segment, exchange, response)
    return response


def _raw(raw: str, stage: str, path: str) -> str:
    """The path without the stage, percent-encoded as the client sent it."""
    rest = raw.removeprefix(f"/{stage}") or "/"
    return rest if unquote(rest) == path else quote(path)


async def _answer(exchange: Exchange, request: Request) -> Any:
    """The response, or the gateway response that is due."""
    if exchange.client.header_bytes > MAX_HEADER_BYTES:
        return 431, {"Content-Type": "text/plain"}, b"HTTP header is larger than 10240 bytes."
    if len(exchange.body) > MAX_BODY_BYTES:
        text = f"HTTP content length exceeded {MAX_BODY_BYTES} bytes."
        return 413, {"Content-Type": "text/plain"}, text.encode()
    method = _method(exchange, request)
    if method is None:
        return error("MISSING_AUTHENTICATION_TOKEN", "Missing Authentication Token")
    refused = await _authorize(exchange, request, method) or _check(exchange, request, method)
    if refused is not None:
        return refused
    integration = method.get("methodIntegration")
    if not integration:
        return error("API_CONFIGURATION_ERROR", "Internal server error")
    return await caching.through(
        exchange, request, integration, lambda: _integrate(exchange, request, integration)
    )


def _method(exchange: Exchange, request: Request) -> Method | None:
    """The method that serves the request."""
    segments = [part for part in exchange.path.strip("/").split("/") if part]
    resource, parameters = apigateway_v1._match_resource_tree(exchange.api_id, segments)
    found = _of_resource(resource, exchange.method)
    if found is None:
        resource, parameters = apigateway_v1._match_greedy_fallback(
            exchange.api_id, segments, exchange.method
        )
        found = _of_resource(resource, exchange.method)
    if found is not None:
        exchange.route, exchange.resource_id = resource["path"], resource["id"]
        exchange.path_parameters = parameters or {}
        request["resource_path"], request["path_params"] = exchange.route, exchange.path_parameters
        request["resource"] = resource
    return found


def _of_resource(resource: dict[str, Any] | None, method: str) -> Method | None:
    methods = (resource or {}).get("resourceMethods", {})
    found: Method | None = methods.get(method) or methods.get("ANY")
    return found if method in METHODS else None


async def _authorize(exchange: Exchange, request: Request, method: Method) -> Any:
    begin = time.monotonic()
    refused, context = await apigateway_v1._authorize_request_v1(
        exchange.api_id,
        exchange.stage_name,
        method,
        exchange.method,
        exchange.path,
        request["resource"],
        exchange.headers,
        exchange.body,
        request["query_params"],
        exchange.path_parameters,
        exchange.stage,
        exchange.account,
        exchange.region,
    )
    kind = str(method.get("authorizationType") or "NONE").upper()
    if kind == "AWS_IAM" and refused is None:
        refused = _denial(exchange)
        exchange.identity |= (
            apigateway_v1._iam_caller_identity(request["headers"], request["query_params"]) or {}
        )
    if kind != "NONE":
        exchange.authorization.latency = int((time.monotonic() - begin) * 1000)
        exchange.authorization.status = 200 if refused is None else 403
        if refused is not None and not exchange.authorization.error:
            exchange.authorization.error = getattr(refused, "message", None) or "the caller has no permission"
    exchange.authorizer = context
    return refused


def _denial(exchange: Exchange) -> Any:
    """What a caller gets whose signature is wrong or who has no permission; None for others."""
    denied = exchange.client.denied
    try:
        text = str(json.loads(denied[2]).get("message", "")) if denied else ""
    except ValueError:
        text = ""
    return error("ACCESS_DENIED", text) if "is not authorized to perform" in text else denied


def _check(exchange: Exchange, request: Request, method: Method) -> Any:
    """API key, throttling, quota and validation."""
    headers = request["headers"]
    refused, key = apigateway_v1._check_api_key(method, exchange.api_id, exchange.stage_name, headers)
    if refused is not None:
        return refused
    if key:
        exchange.identity |= {"apiKey": key["value"], "apiKeyId": key["id"]}
    return (
        apigateway_v1._check_throttle(
            exchange.stage, exchange.api_id, exchange.stage_name, exchange.route, exchange.method, key
        )
        or apigateway_v1._check_quota(key, exchange.api_id, exchange.stage_name)
        or validation.check(exchange, request, method)
        or apigateway_v1._check_passthrough_behavior(method.get("methodIntegration") or {}, headers)
    )


async def _integrate(exchange: Exchange, request: Request, integration: dict[str, Any]) -> Any:
    kind = integration.get("type")
    if kind == "MOCK":
        return integrations.mock(exchange, integration)
    headers, query = exchange.headers, request["query_params"]
    sent = exchange.method, headers, exchange.body, query, exchange.path_parameters
    if kind in ("HTTP", "HTTP_PROXY"):
        return await _timed(exchange, apigateway_v1._invoke_http_proxy_v1(integration, exchange.path, *sent))
    service = apigateway_v1._parse_service_integration_uri(str(integration.get("uri") or ""))
    if kind == "AWS_PROXY":
        invoke = apigateway_v1._invoke_lambda_proxy_v1
    elif service and service[1] == "sqs":
        invoke = apigateway_v1._invoke_sqs_v1
    else:
        invoke = apigateway_v1._invoke_lambda_custom_v1
    place = exchange.api_id, exchange.stage_name, exchange.stage, request["resource"], exchange.path
    return await _timed(
        exchange,
        invoke(
            integration,
            *place,
            *sent,
            owner_account_id=exchange.account,
            owner_region=exchange.region,
            binary_media_types=exchange.api.get("binaryMediaTypes") or [],
            authorizer_context=exchange.authorizer,
            caller_identity=exchange.identity,
        ),
    )


async def _timed(exchange: Exchange, answer: Awaitable[Any]) -> Any:
    begin, call = time.monotonic(), exchange.integration
    response = await answer
    call.latency = int((time.monotonic() - begin) * 1000)
    if isinstance(response, tuple):
        call.status = response[0]
        call.service_status = call.service_status or response[0]
    return response


async def _call_function(exchange: Exchange, integration: dict[str, Any], event: Any) -> Any:
    """Invoke the function of an integration; its result, or the gateway response that is due."""
    try:
        return await functions.invoke(
            exchange,
            exchange.integration,
            uri=str(integration.get("uri") or ""),
            role=integration.get("credentials"),
            source=exchange.arn(exchange.stage_name, f"{exchange.method}{exchange.route}"),
            event=event,
            seconds=int(integration.get("timeoutInMillis") or TIMEOUT) / 1000,
        )
    except functions.TimedOutError:
        return error("INTEGRATION_TIMEOUT", "Endpoint request timed out")
    except functions.TooLargeError:
        return error("REQUEST_TOO_LARGE", "Request Too Long", "BadRequestException")
    except functions.RejectedError:
        return error("API_CONFIGURATION_ERROR", "Internal server error")


@replaces(apigateway_v1, "_invoke_lambda_proxy_v1")
async def _of_function(integration: dict[str, Any], *args: Any, **more: Any) -> Any:
    exchange = exchanges.served()
    try:
        result = await _call_function(exchange, integration, events.format_1_0(exchange))
        if isinstance(result, apigateway_v1._GatewayError):
            return result
        response = responses.read(exchange, result, "1.0")
    except functions.FailedError:
        return _bad_gateway()
    except responses.MalformedError as malformed:
        exchange.integration.error = f"Malformed Lambda proxy response: {malformed}"
        logger.warning("%s: %s", exchange.arn(exchange.stage_name, exchange.route), malformed)
        return _bad_gateway()
    return response


@replaces(apigateway_v1, "_invoke_lambda_custom_v1")
async def _of_custom_function(integration: dict[str, Any], *args: Any, **more: Any) -> Any:
    """An integration of the type AWS: templates map the request and the result."""
    exchange = exchanges.served()
    text = integrations.request_body(exchange, integration)
    if text is None:
        return error("UNSUPPORTED_MEDIA_TYPE", "Unsupported Media Type")
    try:
        event = strict_json.read(text) if text else {}
    except ValueError:
        return error("API_CONFIGURATION_ERROR", "Internal server error")
    failed = ""
    try:
        result = await _call_function(exchange, integration, event)
    except functions.FailedError as error_:
        result = error_.payload
        failed = str(result.get("errorMessage", "")) if isinstance(result, dict) else str(result)
    if isinstance(result, apigateway_v1._GatewayError):
        return result
    body = json.dumps(result, ensure_ascii=False)
    return integrations.response(exchange, integration, failed, body) or error(
        "API_CONFIGURATION_ERROR", "Internal server error"
    )


# --- Errors


def error(type_: str, text: str, name: str | None = None) -> Any:
    """The gateway response of a type."""
    return apigateway_v1._GatewayError(type_, text, name)


def _bad_gateway() -> Any:
    return error("DEFAULT_5XX", "Internal server error")


def _gateway_response(exchange: Exchange, request: Request, due: Any) -> Response:
    exchange.error, exchange.error_type = due.message, due.response_type
    status, headers, body = apigateway_v1._gateway_error_response(due, request)
    if due.response_type == "DEFAULT_5XX" and exchange.integration.service_status == 200:
        known = apigateway_v1._deployed_gateway_responses.get(exchange.api_id, {})
        customized = (known.get(exchange.stage.get("deploymentId")) or {}).get("DEFAULT_5XX") or {}
        status = int(customized.get("statusCode") or 502)
    text = body.decode()
    if due.response_type in _SPACED:
        quoted = json.dumps(due.message)
        text = text.replace(f":{quoted}", f": {quoted}", 1)
    return status, headers, integrations.fill(exchange, text, {"status": status}).encode()


def _yes(value: Any) -> bool:
    return str(value).lower() == "true"
