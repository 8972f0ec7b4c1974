"""HTTP APIs: what happens to a request, from the route to the response.

    CORS preflight? -> route -> authorizer -> throttle -> integration -> CORS headers
                                                                      -> metrics, access log

The emulator refuses OPTIONS without CORS, serves stages without a deployment, takes only `{proxy+}` for
greedy, and answers with the errors of functions.

Faithful to: a preflight is answered by API Gateway itself if the API has CORS settings, and goes to a route
otherwise; CORS headers of the integration are then ignored. The most specific route wins: a full match, then
a greedy one, then `$default`. Bodies of errors: 404 `Not Found`, 401 `Unauthorized`, 403 `Forbidden`, 429
`Too Many Requests`, 413 `Request Entity Too Large`, 500 `Internal Server Error`; 503 `Service Unavailable`
after the timeout of the integration, by default 30 seconds.
Not to: snapshots of deployments: a changed route is served at once; private integrations.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable
from typing import Any

from ministack.services import apigateway

from localaws.patching import replaces
from localaws.services.apigateway import (
    access_logs,
    authorizers,
    events,
    exchanges,
    functions,
    metrics,
    parameter_mappings,
    responses,
    throttling,
)
from localaws.services.apigateway.exchanges import Exchange, Refusal
from localaws.services.apigateway.requests import MAX_BODY_BYTES, MAX_HEADER_BYTES, METHODS, Response, message

logger = logging.getLogger("localaws.apigateway")

TIMEOUT = 30_000  # milliseconds


@replaces(apigateway, "_route_specificity")
def _route_specificity(method: str, route_path: str) -> tuple[int, int, int]:
    parts = route_path.strip("/").split("/")
    literal = sum(not (part.startswith("{") and part.endswith("}")) for part in parts)
    return (0 if route_path.endswith("+}") else 1), literal, 0 if method == "ANY" else 1


@replaces(apigateway, "_handle_execute_in_scope")
async def _serve(
    api_id: str,
    stage: str,
    path: str,
    method: str,
    headers: dict[str, str],
    body: bytes,
    query_params: Any,
    owner_account_id: str,
    owner_region: str,
    raw_query_string: str | None = None,
) -> Response:
    api, found = apigateway._apis.get(api_id), apigateway._stages.get(api_id, {}).get(stage)
    query = apigateway._raw_query_string(query_params, raw_query_string)
    client = exchanges.client_request(headers, path, query)
    own_name = client.host.endswith((".localhost", ".amazonaws.com"))
    if api is None or found is None or (_yes(api.get("disableExecuteApiEndpoint")) and own_name):
        return message(404, "Not Found")
    if not _yes(found.get("autoDeploy")) and not found.get("deploymentId"):
        return message(404, "Not Found")
    exchange = Exchange(
        kind="http",
        account=owner_account_id,
        region=owner_region,
        api_id=api_id,
        api=api,
        stage_name=stage,
        stage=found,
        method=method,
        path=path,
        body=body or b"",
        client=client,
    )
    token = exchanges.current.set(exchange)
    try:
        response = await _answer(exchange)
    except Exception:  # the last line of defence: clients never see what went wrong inside
        logger.exception("500 from %s", exchange.arn(stage))
        response = refuse(exchange, 500, "Internal Server Error")
    finally:
        exchanges.current.reset(token)
    response[1].setdefault("apigw-requestid", exchange.extended_id)
    metrics.count_http(exchange, response)
    access_logs.write(exchange, response)
    return response


async def _answer(exchange: Exchange) -> Response:
    cors, origin = exchange.api.get("corsConfiguration") or {}, exchange.client.header("origin")
    if exchange.client.header_bytes > MAX_HEADER_BYTES:
        return refuse(exchange, 431, "Request Header Fields Too Large")
    asked = exchange.client.header("access-control-request-method")
    if cors and exchange.method == "OPTIONS" and origin and asked:
        return 204, _cors_headers(cors, origin, preflight=True), b""
    try:
        response = await _of_route(exchange)
    except Refusal as refusal:
        response = refuse(exchange, refusal.status, refusal.text)
        response[1].update(refusal.headers)
    if cors:
        status, headers, body = response
        own = {name: value for name, value in headers.items() if not _is_cors(name)}
        response = status, own | _cors_headers(cors, origin, preflight=False), body
    return response


def _is_cors(header: str) -> bool:
    return header.lower().startswith("access-control-")


def _cors_headers(cors: dict[str, Any], origin: str, *, preflight: bool) -> dict[str, Any]:
    allowed = [str(one).lower() for one in cors.get("allowOrigins") or []]
    anywhere = "*" in allowed or any(f"{scheme}://*" in allowed for scheme in [origin.partition("://")[0]])
    if not origin or not (anywhere or origin.lower() in allowed):
        return {}
    headers = {"Access-Control-Allow-Origin": "*" if "*" in allowed else origin}
    if _yes(cors.get("allowCredentials")):
        headers["Access-Control-Allow-Credentials"] = "true"
    if exposed := cors.get("exposeHeaders"):
        headers["Access-Control-Expose-Headers"] = ",".join(exposed)
    if preflight:
        headers["Access-Control-Allow-Methods"] = ",".join(cors.get("allowMethods") or [])
        headers["Access-Control-Allow-Headers"] = ",".join(cors.get("allowHeaders") or [])
        headers["Access-Control-Max-Age"] = str(cors.get("maxAge") or 0)
    return {name: value for name, value in headers.items() if value}


async def _of_route(exchange: Exchange) -> Response:
    path = "/" + exchange.path.lstrip("/")
    route = apigateway._match_route(exchange.api_id, exchange.method, path)
    if route is None or exchange.method not in METHODS:
        raise Refusal(404, "Not Found")
    exchange.route = route["routeKey"]
    template = exchange.route.partition(" ")[2]
    exchange.path_parameters = apigateway._extract_path_params(template, path) or {} if template else {}
    if len(exchange.body) > MAX_BODY_BYTES:
        raise Refusal(413, "Request Entity Too Large")
    await authorizers.authorize(exchange, route)
    throttling.check(exchange)
    target = str(route.get("target") or "").rpartition("/")[2]
    integration = apigateway._integrations.get(exchange.api_id, {}).get(target)
    if integration is None:
        exchange.integration.error = "the route has no integration"
        raise Refusal(500, "Internal Server Error")
    if integration.get("integrationType") == "HTTP_PROXY":
        return await _timed(exchange, _of_http_proxy(exchange, integration))
    said = exchange.authorizer or {}
    return await _timed(
        exchange,
        apigateway._invoke_lambda_proxy(
            integration,
            exchange.api_id,
            exchange.stage_name,
            exchange.path,
            exchange.method,
            exchange.headers,
            exchange.body,
            exchange.parameters,
            exchange.route,
            exchange.path_parameters,
            authorizer_claims=said.get("jwt", {}).get("claims"),
            authorizer_scopes=said.get("jwt", {}).get("scopes"),
            authorizer_lambda_context=said.get("lambda"),
            authorizer_iam=said.get("iam"),
            owner_account_id=exchange.account,
            owner_region=exchange.region,
            raw_query_string=exchange.client.query,
        ),
    )


async def _timed(exchange: Exchange, answer: Awaitable[Response]) -> Response:
    begin, call = time.monotonic(), exchange.integration
    try:
        response = await answer
    finally:
        call.latency = int((time.monotonic() - begin) * 1000)
    call.status, call.service_status = response[0], call.service_status or response[0]
    return response


@replaces(apigateway, "_invoke_lambda_proxy")
async def _of_function(integration: dict[str, Any], *args: Any, **more: Any) -> Response:
    exchange = exchanges.served()
    version = str(integration.get("payloadFormatVersion") or "1.0")
    template = exchange.route.partition(" ")[2]
    where = f"{exchange.method}{template}" if template else exchange.route
    mapped = parameter_mappings.request(exchange, integration)
    try:
        result = await functions.invoke(
            exchange,
            exchange.integration,
            uri=str(integration.get("integrationUri") or ""),
            role=integration.get("credentialsArn"),
            source=exchange.arn(exchange.stage_name, where),
            event=events.format_1_0(mapped) if version == "1.0" else events.format_2_0(mapped),
            seconds=int(integration.get("timeoutInMillis") or TIMEOUT) / 1000,
        )
        response = responses.read(exchange, result, version)
        return parameter_mappings.response(exchange, integration, response)
    except functions.TimedOutError:
        raise Refusal(503, "Service Unavailable") from None
    except functions.TooLargeError:
        raise Refusal(413, "Request Entity Too Large") from None
    except functions.CallError:
        raise Refusal(500, "Internal Server Error") from None
    except responses.MalformedError as error:
        exchange.integration.error = str(error)
        logger.warning("%s: %s", exchange.arn(exchange.stage_name, exchange.route), error)
        raise Refusal(500, "Internal Server Error") from None


async def _of_http_proxy(exchange: Exchange, integration: dict[str, Any]) -> Response:
    mapped = parameter_mappings.request(exchange, integration)
    response: Response = await apigateway._invoke_http_proxy(
        integration, mapped.path, exchange.method, mapped.headers, exchange.body, mapped.parameters
    )
    return parameter_mappings.response(exchange, integration, response)


_TYPES = {
    401: "UNAUTHORIZED",
    403: "ACCESS_DENIED",
    404: "RESOURCE_NOT_FOUND",
    413: "REQUEST_TOO_LARGE",
    429: "THROTTLED",
    503: "INTEGRATION_TIMEOUT",
}


def refuse(exchange: Exchange, status: int, text: str) -> Response:
    """A response of API Gateway itself, which its access log explains."""
    exchange.error = text
    exchange.error_type = _TYPES.get(status, "DEFAULT_4XX" if status < 500 else "DEFAULT_5XX")
    return message(status, text)


def _yes(value: Any) -> bool:
    return str(value).lower() == "true"
