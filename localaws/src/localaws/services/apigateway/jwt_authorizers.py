"""Authorizers of HTTP and REST APIs with a user pool of this account.

The emulator asks its own port for the keys of the pool, without TLS, which it does not speak. So it
refuses every token.

Faithful to: tokens of a Cognito user pool are verified with the keys of that pool, and only with RS256;
what is no token at all is refused like a forged one; the body of a refusal. The addresses in the discovery
document of a pool are those of this server.
Not to: keys of other issuers, which are fetched from their address.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.services import apigateway, apigateway_v1, cognito

from localaws.patching import around, replaces

logger = logging.getLogger("localaws.apigateway")

Answer = tuple[int, dict[str, str], bytes]
_POOL = re.compile(r"https://cognito-idp\.[a-z0-9-]+\.amazonaws\.com/([A-Za-z0-9_-]+)")


@replaces(apigateway, "_jwt_unauthorized")
def _jwt_unauthorized(message: str = "Unauthorized") -> Answer:
    return _refusal(401, message)


@replaces(apigateway, "_jwt_forbidden")
def _jwt_forbidden(message: str = "Forbidden") -> Answer:
    return _refusal(403, message)


def _refusal(status: int, message: str) -> Answer:
    body = json.dumps({"message": message}, separators=(",", ":"))
    return status, {"Content-Type": "application/json"}, body.encode()


# What the emulator fails with over a token whose parts are not what they must be.
_MALFORMED = (ValueError, TypeError, AttributeError, LookupError, RecursionError, OverflowError)


@around(apigateway, "_validate_jwt_authorizer")
async def _of_http_api(
    stock: Callable[..., Awaitable[Any]], route: Any, authorizer: Any, headers: Any, query_params: Any
) -> Any:
    try:
        return await stock(route, authorizer, headers, query_params)
    except _MALFORMED as error:
        logger.warning("a token was refused: %s: %s", type(error).__name__, error)
        return None, None, _refusal(401, "Unauthorized")


@around(apigateway_v1, "_validate_cognito_authorizer")
async def _of_rest_api(
    stock: Callable[..., Awaitable[Any]],
    authorizer: Any,
    method_obj: Any,
    headers: Any,
    query_params: Any,
    stage: Any,
) -> Any:
    try:
        return await stock(authorizer, method_obj, headers, query_params, stage)
    except _MALFORMED as error:
        logger.warning("a token was refused: %s: %s", type(error).__name__, error)
        return None, apigateway_v1._gw_error("UNAUTHORIZED", "Unauthorized")


@around([apigateway, apigateway_v1], "_resolve_jwks_url")
async def _resolve_jwks_url(
    stock: Callable[[Any], Awaitable[str | None]], authorizer: dict[str, Any]
) -> str | None:
    settings = authorizer.get("jwtConfiguration") or {}
    issuer = str(settings.get("issuer") or settings.get("Issuer") or "").rstrip("/")
    return issuer if _POOL.fullmatch(issuer) else await stock(authorizer)


@around([apigateway, apigateway_v1], "_fetch_jwks")
async def _fetch_jwks(stock: Callable[[str], Awaitable[dict[str, Any]]], url: str) -> dict[str, Any]:
    issuer = _POOL.fullmatch(url)
    if issuer is None:
        return await stock(url)
    if cognito._get_pool_unscoped(issuer[1]) is None:
        return {"keys": []}
    keys: dict[str, Any] = json.loads(cognito.well_known_jwks(issuer[1])[2])
    return keys


@around(cognito, "well_known_openid_configuration")
def _well_known_openid_configuration(
    stock: Callable[..., Any],
    pool_id: str,
    region: str | None = None,
    host: str | None = None,
    scheme: str = "http",
) -> Any:
    """Name the addresses of this server by the scheme that it speaks."""
    return stock(pool_id, region, host, "https")
