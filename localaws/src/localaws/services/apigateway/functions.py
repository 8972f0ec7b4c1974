"""APIs invoke functions only with permission, and never show why a function failed.

The emulator calls every function, and answers with the error and its stack trace.

Faithful to: HTTP and REST APIs call the function of an integration if its resource policy allows
`apigateway.amazonaws.com` with the ARN of the stage, method and route, or if the role of the integration
may invoke it. Otherwise, and if there is no such function, the answer is status 500. A function that
fails is status 500 behind an HTTP API and 502 behind a REST API, with the documented body, and so is a
result behind a REST API that has not the documented form.
Not to: the permission of authorizers, WebSocket APIs, and throttled functions, which are status 429.

https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import apigateway, apigateway_v1, lambda_svc

from localaws.patching import around
from localaws.services.iam.invocations import service_may_invoke
from localaws.services.iam.roles import role_allows

logger = logging.getLogger("localaws.apigateway")

Response = tuple[int, dict[str, Any], bytes]
Integration = dict[str, Any]
_SERVICE = "apigateway.amazonaws.com"
_JSON = {"Content-Type": "application/json"}
_PROXY_KEYS = {"isBase64Encoded", "statusCode", "headers", "multiValueHeaders", "body"}
_http_api: ContextVar[bool] = ContextVar("localaws_http_api", default=False)


@around(apigateway, "_invoke_lambda_proxy")
async def _invoke_lambda_proxy(
    stock: Callable[..., Awaitable[Response]],
    integration: Integration,
    api_id: str,
    stage: str,
    path: str,
    method: str,
    headers: Any,
    body: Any,
    query_params: Any,
    route_key: str = "$default",
    path_params: Any = None,
    **more: Any,
) -> Response:
    route = route_key.partition(" ")[2]
    source = f"{api_id}/{stage}/{method}{route}" if route else f"{api_id}/{stage}/{route_key}"
    uri, role = integration.get("integrationUri", ""), integration.get("credentialsArn")
    owner = more.get("owner_account_id"), more.get("owner_region")
    if not _may_invoke(uri, role, source, *owner):
        return 500, dict(_JSON), b'{"message":"Internal Server Error"}'
    token = _http_api.set(True)
    try:
        return await stock(
            integration,
            api_id,
            stage,
            path,
            method,
            headers,
            body,
            query_params,
            route_key,
            path_params,
            **more,
        )
    finally:
        _http_api.reset(token)


@around(apigateway_v1, "_invoke_lambda_proxy_v1")
@around(apigateway_v1, "_invoke_lambda_custom_v1")
async def _invoke_of_rest(
    stock: Callable[..., Awaitable[Response]],
    integration: Integration,
    api_id: str,
    stage_name: str,
    stage: Any,
    resource: dict[str, Any],
    request_path: str,
    method: str,
    *rest: Any,
    **more: Any,
) -> Response:
    source = f"{api_id}/{stage_name}/{method}{resource['path']}"
    uri, role = integration.get("uri", ""), integration.get("credentials")
    if not _may_invoke(uri, role, source, more.get("owner_account_id"), more.get("owner_region")):
        refused: Response = apigateway_v1._gw_error("API_CONFIGURATION_ERROR", "Internal server error")
        return refused
    return await stock(integration, api_id, stage_name, stage, resource, request_path, method, *rest, **more)


def _may_invoke(uri: str, role: str | None, source: str, account: str | None, region: str | None) -> bool:
    """Whether an API may invoke the function of an integration."""
    account, region = account or get_account_id(), region or get_region()
    reference = apigateway_v1._extract_lambda_ref_from_integration_uri(uri)
    if not reference.startswith("arn:"):
        reference = f"arn:aws:lambda:{region}:{account}:function:{reference}"
    arn = f"arn:aws:execute-api:{region}:{account}:{source}"
    with request_scope(account, region):
        if role:
            allowed = role_allows(role, "lambda:InvokeFunction", reference)
        else:
            allowed = service_may_invoke(reference, _SERVICE, arn, account)
    if not allowed:
        logger.warning("%s may not invoke %s", arn, reference)
    return allowed


@around(lambda_svc, "lambda_execute_result_to_api_proxy_response")
def _response_of_http_api(
    stock: Callable[[dict[str, Any]], Any], exec_result: dict[str, Any]
) -> tuple[dict[str, Any] | None, str | None]:
    if _http_api.get() and exec_result.get("error") and not exec_result.get("throttle"):
        body = '{"message":"Internal Server Error"}'
        return {"statusCode": 500, "headers": dict(_JSON), "body": body}, None
    answer: tuple[dict[str, Any] | None, str | None] = stock(exec_result)
    return answer


@around(apigateway_v1, "_lambda_proxy_response")
def _response_of_rest_api(
    stock: Callable[[Any], Any], result: dict[str, Any]
) -> tuple[dict[str, Any] | None, str | None]:
    failed = result.get("error") or not _is_proxy_response(result.get("body"))
    if failed and not result.get("throttle"):
        return None, "Internal server error"
    answer: tuple[dict[str, Any] | None, str | None] = stock(result)
    return answer


def _is_proxy_response(body: Any) -> bool:
    """Whether a result has the form that a REST API needs."""
    if isinstance(body, (str, bytes)):
        try:
            body = json.loads(body)
        except ValueError:
            return False
    return (
        isinstance(body, dict)
        and body.keys() <= _PROXY_KEYS
        and str(body.get("statusCode", "")).isdigit()
        and isinstance(body.get("body", ""), (str, type(None)))
    )
