"""The cache of a stage of a REST API.

The emulator has none.

Faithful to: with a cache cluster and caching enabled, responses of methods with GET, and of others only where
their own settings say so, are stored for the time to live, by default 300 seconds. The key is the method, the
resource and the cache key parameters of the integration: without a path parameter as one of them, all paths
of a resource share a response, and without `Authorization` callers get each other's. `Cache-Control:
max-age=0` reads a fresh response, if the caller may `execute-api:InvalidateCache` or the stage does not ask
for it; else it is refused with 403, or ignored, with a warning or without one. Responses over 1 MB, and
errors of API Gateway itself, are not stored. Calls that flush the caches of responses and of authorizers.
Not to: the time to live, which is shortened; sizes and encryption of clusters, which are ready at once.

https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-caching.html
"""

from __future__ import annotations

import importlib
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote

from ministack.core.responses import get_account_id, get_region, request_scope
from ministack.services import apigateway, apigateway_v1

from localaws import pace
from localaws.patching import around, on_reset
from localaws.services.apigateway.exchanges import Exchange
from localaws.services.apigateway.requests import Response
from localaws.services.apigateway.throttling import method_settings, own_settings

MAX_BYTES = 1_048_576

_kept: dict[Any, tuple[float, Response]] = {}
_FLUSH = re.compile(
    r"/(v2/apis|restapis)/(?P<api>[^/]+)/stages/(?P<stage>[^/]+)/cache/(?P<cache>data|authorizers)"
)
_WARNING = '199 - "Cache invalidation is not authorized"'


async def through(
    exchange: Exchange,
    request: dict[str, Any],
    integration: dict[str, Any],
    integrate: Callable[[], Awaitable[Any]],
) -> Any:
    """The response to a request: that in the cache, or a new one."""
    settings = _settings(exchange)
    if settings is None:
        return await integrate()
    headers: dict[str, str] = {}
    fresh = "max-age=0" in exchange.client.header("cache-control").replace(" ", "")
    if (
        fresh
        and _yes(settings.get("requireAuthorizationForCacheControl"))
        and not _may_invalidate(exchange, request)
    ):
        strategy = settings.get("unauthorizedCacheControlHeaderStrategy") or "SUCCEED_WITH_RESPONSE_HEADER"
        if strategy == "FAIL_WITH_403":
            return apigateway_v1._GatewayError(
                "ACCESS_DENIED", "User is not authorized to access this resource"
            )
        fresh = False
        if strategy == "SUCCEED_WITH_RESPONSE_HEADER":
            headers = {"Warning": _WARNING}
    key = _key(exchange, integration)
    expiry, kept = _kept.get(key, (0.0, None))
    exchange.cached = not fresh and kept is not None and time.monotonic() < expiry
    if exchange.cached and kept is not None:
        return kept[0], {**kept[1], **headers}, kept[2]
    response = await integrate()
    if isinstance(response, tuple) and len(response[2]) <= MAX_BYTES:
        _kept[key] = (
            time.monotonic() + pace.shortened(float(settings.get("cacheTtlInSeconds", 300))),
            response,
        )
        return response[0], {**response[1], **headers}, response[2]
    return response


def _settings(exchange: Exchange) -> dict[str, Any] | None:
    """The settings of the method, if its responses are cached."""
    stage = exchange.stage
    if not _yes(stage.get("cacheClusterEnabled")):
        return None
    settings = own_settings(stage, exchange.route, exchange.method)
    if settings is None and exchange.method == "GET":
        settings = method_settings(stage, exchange.route, exchange.method)
    if settings is None or not _yes(settings.get("cachingEnabled")):
        return None
    return settings if float(settings.get("cacheTtlInSeconds", 300)) > 0 else None


def _key(exchange: Exchange, integration: dict[str, Any]) -> Any:
    names = [str(name).removeprefix("method.") for name in integration.get("cacheKeyParameters") or []]
    sources = {
        **{f"request.path.{name}": value for name, value in exchange.path_parameters.items()},
        **{f"request.querystring.{name}": value for name, value in exchange.query},
        **{f"request.header.{name}": value for name, value in exchange.client.headers},
    }
    lower = {name.lower(): value for name, value in sources.items()}
    place = exchange.account, exchange.region, exchange.api_id, exchange.stage_name, exchange.method
    deployment = exchange.stage.get("deploymentId")
    space = integration.get("cacheNamespace") or exchange.resource_id
    values = tuple((name, sources.get(name, lower.get(name.lower()))) for name in sorted(names))
    return place, deployment, space, exchange.route, values


def _may_invalidate(exchange: Exchange, request: dict[str, Any]) -> bool:
    emulator: Any = importlib.import_module("ministack.app")
    signed = exchange.client.header("authorization").startswith("AWS4-")
    with request_scope(exchange.account, exchange.region):
        denied = emulator._enforce_data_plane(
            "apigateway",
            "execute-api:InvalidateCache",
            request["headers"],
            request["query_params"],
            "",
            resource_arn=exchange.arn(exchange.stage_name, f"{exchange.method}{exchange.path}"),
        )
    return signed and not denied


@around([apigateway, apigateway_v1], "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Response]], method: str, path: str, *args: Any, **more: Any
) -> Response:
    """The calls that flush a cache: FlushStageCache, FlushStageAuthorizersCache and ResetAuthorizersCache."""
    found = _FLUSH.fullmatch(unquote(path)) if method == "DELETE" else None
    if found is None:
        return await stock(method, path, *args, **more)
    account, region, api, stage = get_account_id(), get_region(), found["api"], found["stage"]
    module = apigateway if path.startswith("/v2/") else apigateway_v1
    if stage not in module.stages_for_api(api):
        error = apigateway._apigw_error if module is apigateway else apigateway_v1._v1_error
        refused: Response = error("NotFoundException", "Invalid stage identifier specified", 404)
        return refused
    if found["cache"] == "data":
        for key in [key for key in _kept if key[0][:4] == (account, region, api, stage)]:
            del _kept[key]
    else:
        cache = module._authorizer_cache
        for key in [key for key in cache if (*key[:3], key[4]) == (account, region, api, stage)]:
            del cache[key]
    return 204 if module is apigateway else 202, {}, b""


@on_reset
def _forget() -> None:
    _kept.clear()


def _yes(value: Any) -> bool:
    return str(value).lower() == "true"
