"""JWT authorizers of HTTP APIs, and user pools as authorizers of REST APIs.

    token -> algorithm? key of the issuer -> signature? -> iss, aud, exp, nbf, iat? -> scope? -> claims
                                                     401 <-                      403 <-

The emulator asks its own port for the keys of a user pool, without TLS, which it does not speak. So it
refuses every token. It does not look at the algorithm, and knows only one. Its REST APIs take access tokens
without a scope, too.

Faithful to: RS256, RS384 and RS512, with the key that the header names by `kid` and of which the issuer's
discovery document gives the address; the claims above, of which `client_id` counts only without `aud`; 403
only for a valid token without a scope of the route; `www-authenticate` says why. Keys are cached for two
hours (which are shortened here), so a new key is known after that time. What is no token at all is refused
like a forged one. The addresses in the discovery document of a pool are those of this server. A method of a
REST API without scopes takes ID tokens only.
Not to: that an issuer without a discovery document is refused when the authorizer is created, as there may be
no network here; no token of it is valid. A token without `exp` is refused, of which AWS says nothing. The
words of `error_description`, except for the audience. Issuers on this machine need TLS as well: start with
`SSL_CERT_FILE` naming the authority to trust.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-troubleshooting-jwt.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-integrate-with-cognito.html
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from ministack.services import apigateway, apigateway_v1, cognito

from localaws import pace
from localaws.patching import around, replaces

logger = logging.getLogger("localaws.apigateway")

_POOL = re.compile(r"https://cognito-idp\.[a-z0-9-]+\.amazonaws\.com/([A-Za-z0-9_-]+)")
_HASHES: dict[str, HashAlgorithm] = {"RS256": SHA256(), "RS384": SHA384(), "RS512": SHA512()}
# What goes wrong over a token whose parts are not what they must be.
_MALFORMED = (ValueError, TypeError, AttributeError, LookupError, RecursionError, OverflowError)


class DeniedError(Exception):
    """The caller gets this status and challenge; the text says why.

    Args:
        reason: Why.
        status: 401, or 403 for a valid token without a scope of the route.
        challenge: The header `www-authenticate`.
    """

    def __init__(self, reason: str, status: int, challenge: str) -> None:
        super().__init__(reason)
        self.status = status
        self.challenge = challenge


async def verify(
    route: Mapping[str, Any], authorizer: Mapping[str, Any], headers: Any, query: Any
) -> tuple[dict[str, Any], list[str]]:
    """Return the claims and scopes of the token in a request.

    Args:
        route: The route of an HTTP API.
        authorizer: Its authorizer.
        headers: The headers of the request.
        query: Its query parameters.

    Raises:
        DeniedError: There is no token, it is not valid, or it lacks a scope.
    """
    source = authorizer.get("identitySource") or []
    token = apigateway._extract_token_from_identity_source(source, headers, query)
    if not token:
        raise DeniedError("there is no token", 401, "Bearer")
    required = route.get("authorizationScopes") or []
    try:
        claims = await _verified(token, authorizer.get("jwtConfiguration") or {})
        granted = _scopes(claims)
    except _MALFORMED as error:
        known = type(error) is ValueError and error.args and str(error).startswith("the ")
        reason = str(error) if known else "the token is malformed"
        challenge = f'Bearer scope="{" ".join(required)}" error="invalid_token" error_description="{reason}"'
        raise DeniedError(reason, 401, challenge) from None
    if required and not granted & set(required):
        reason = "the token does not have a scope of the route"
        challenge = f'Bearer scope="{" ".join(required)}" error="insufficient_scope"'
        raise DeniedError(reason, 403, challenge)
    return claims, sorted(granted)


async def _verified(token: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claims of a valid token.

    Raises:
        ValueError: It is not valid.
    """
    head, body, _signature = token.split(".")
    key_id = json.loads(apigateway._b64url_decode(head))["kid"]
    claims: dict[str, Any] = json.loads(apigateway._b64url_decode(body))
    issuer = str(settings.get("issuer") or "")
    for key in await _keys(issuer):
        if key.get("kid") == key_id and _is_signed_by(token, key):
            break
    else:
        raise ValueError("the token is not signed by a key of the issuer")
    if claims["iss"] != issuer:
        raise ValueError("the token does not have a valid issuer")
    audience = claims["aud"] if claims.get("aud") is not None else claims.get("client_id")
    given = audience if isinstance(audience, list) else [audience]
    if not set(map(str, settings.get("audience") or [])) & {str(one) for one in given}:
        raise ValueError("the token does not have a valid audience")
    now = int(time.time())
    if "exp" not in claims or int(claims["exp"]) <= now:
        raise ValueError("the token has expired")
    if int(claims.get("nbf", now)) > now or int(claims.get("iat", now)) > now:
        raise ValueError("the token is not valid yet")
    return claims


def _scopes(claims: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for given in (claims.get("scope"), claims.get("scp")):
        found |= set(given.split() if isinstance(given, str) else map(str, given or []))
    return found


async def _keys(issuer: str) -> list[dict[str, Any]]:
    """The keys of an issuer; none if it does not answer."""
    try:
        address = await apigateway._resolve_jwks_url({"jwtConfiguration": {"issuer": issuer}})
        return list((await apigateway._fetch_jwks(address))["keys"]) if address else []
    except (OSError, *_MALFORMED) as error:
        logger.warning("no keys of %s: %s: %s", issuer, type(error).__name__, error)
        return []


@replaces([apigateway, apigateway_v1], "_verify_rs256_signature")
def _is_signed_by(token: str, jwk: dict[str, Any]) -> bool:
    head, body, signature = token.split(".")
    algorithm = json.loads(apigateway._b64url_decode(head)).get("alg")
    if jwk.get("kty") != "RSA" or algorithm not in _HASHES or jwk.get("alg", algorithm) != algorithm:
        return False
    modulus, exponent = (int.from_bytes(apigateway._b64url_decode(jwk[part]), "big") for part in ("n", "e"))
    try:
        RSAPublicNumbers(exponent, modulus).public_key().verify(
            apigateway._b64url_decode(signature), f"{head}.{body}".encode(), PKCS1v15(), _HASHES[algorithm]
        )
    except InvalidSignature:
        return False
    return True


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
        claims, error = await stock(authorizer, method_obj, headers, query_params, stage)
        # Without scopes, the emulator takes an access token for an ID token.
        if error or method_obj.get("authorizationScopes") or claims.get("token_use") == "id":
            return claims, error
    except _MALFORMED as failure:
        logger.warning("a token was refused: %s: %s", type(failure).__name__, failure)
    return None, apigateway_v1._gw_error("UNAUTHORIZED", "Unauthorized")


@replaces([apigateway, apigateway_v1], "_resolve_jwks_url")
async def _resolve_jwks_url(authorizer: dict[str, Any]) -> str | None:
    issuer = str((authorizer.get("jwtConfiguration") or {}).get("issuer") or "").rstrip("/")
    if _POOL.fullmatch(issuer):
        return issuer
    address: str | None = await apigateway._fetch_oidc_jwks_uri(issuer)
    _shorten(apigateway._oidc_config_cache, issuer, 7200 if address else 60)
    return address if address and address.startswith("https://") else None


@around([apigateway, apigateway_v1], "_fetch_jwks")
async def _fetch_jwks(stock: Callable[[str], Awaitable[dict[str, Any]]], url: str) -> dict[str, Any]:
    issuer = _POOL.fullmatch(url)
    if issuer is None:
        found = await stock(url)
        _shorten(apigateway._jwks_cache, url, 7200)
        return found
    if cognito._get_pool_unscoped(issuer[1]) is None:
        return {"keys": []}
    keys: dict[str, Any] = json.loads(cognito.well_known_jwks(issuer[1])[2])
    return keys


def _shorten(cache: Any, key: str, seconds: float) -> None:
    """Let what was just put into a cache of the emulator expire as soon as it does here."""
    entry = cache[key]
    entry["expiresAt"] = min(entry["expiresAt"], time.time() + pace.shortened(seconds))


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
