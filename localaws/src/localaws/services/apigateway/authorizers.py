"""Authorizers: who may call, decided by IAM, a token, or a function.

The emulator invokes the function of an authorizer without permission, with less than the documented event,
and caches its answer as long as AWS.

Faithful to: IAM: an unsigned request, a wrong signature, one for another service or Region, and a caller
without permission are refused, by an HTTP API with 403 `Forbidden`. A Lambda authorizer needs the permission
of its function for the ARN `.../authorizers/ID`, or a role. Without an identity source of the request it is
401 without a call; an answer that is no valid one is 500; its context is passed on. HTTP APIs wait ten
seconds. Answers are cached by the identity sources.
Not to: the time for which they are cached, which is shortened.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-use-lambda-authorizer.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-access-control-iam.html
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ministack.services import apigateway, apigateway_v1

from localaws import pace
from localaws.patching import around
from localaws.services.apigateway import events, exchanges, functions, jwt_authorizers
from localaws.services.apigateway.exchanges import Exchange, Refusal

Authorizer = dict[str, Any]
SECONDS = {"http": 10.0, "rest": 29.0}


async def authorize(exchange: Exchange, route: dict[str, Any]) -> None:
    """Let the authorizer of an HTTP API's route decide.

    Raises:
        Refusal: It refuses.
    """
    kind = str(route.get("authorizationType") or "NONE").upper()
    begin = time.monotonic()
    if kind == "AWS_IAM":
        _by_signature(exchange)
    elif kind == "JWT":
        await _by_token(exchange, route)
    elif kind == "CUSTOM":
        await _by_function(exchange, route)
    if kind != "NONE":
        exchange.authorization.status = 200
        exchange.authorization.latency = int((time.monotonic() - begin) * 1000)


def _by_signature(exchange: Exchange) -> None:
    headers, query = exchange.headers, exchange.parameters
    signed = headers.get("authorization", "").startswith("AWS4-") or "X-Amz-Signature" in query
    if exchange.client.denied or not signed:
        raise _refusal(exchange, 403, "the signature is missing, wrong, or of a caller without permission")
    if caller := apigateway._iam_caller_identity_v2(headers, query):
        exchange.authorizer = {"iam": {"cognitoIdentity": None, **caller}}
        exchange.identity = apigateway_v1._iam_caller_identity(headers, query)


async def _by_token(exchange: Exchange, route: dict[str, Any]) -> None:
    authorizer = apigateway._authorizers.get(exchange.api_id, {}).get(route.get("authorizerId"))
    if authorizer is None:
        raise _refusal(exchange, 401, "there is no such authorizer")
    try:
        claims, scopes = await jwt_authorizers.verify(
            route, authorizer, exchange.headers, exchange.parameters
        )
    except jwt_authorizers.DeniedError as error:
        challenge = {"www-authenticate": error.challenge}
        raise _refusal(exchange, error.status, str(error), challenge) from None
    text = {name: apigateway._jwt_claim_to_string(value) for name, value in claims.items()}
    exchange.authorizer = {
        "jwt": {"claims": text, "scopes": scopes if route.get("authorizationScopes") else None}
    }


async def _by_function(exchange: Exchange, route: dict[str, Any]) -> None:
    error, context = await apigateway._authorize_request_v2(
        exchange.api_id,
        exchange.stage_name,
        route,
        exchange.method,
        exchange.path,
        exchange.route.partition(" ")[2] or exchange.path,
        exchange.headers,
        exchange.parameters,
        exchange.path_parameters,
        exchange.variables,
        exchange.account,
        exchange.region,
        exchange.client.query,
    )
    if error:
        raise _refusal(exchange, error[0], exchange.authorization.error or "the authorizer refused")
    exchange.authorizer = {"lambda": context}


_MESSAGES = {401: "Unauthorized", 403: "Forbidden"}


def _refusal(
    exchange: Exchange, status: int, reason: str, headers: Mapping[str, str] | None = None
) -> Refusal:
    exchange.authorization.error, exchange.authorization.status = reason, status
    return Refusal(status, _MESSAGES.get(status, "Internal Server Error"), headers)


# --- Lambda authorizers of both kinds of API


@around(apigateway, "_invoke_request_authorizer_lambda")
async def _invoke_for_http_api(
    stock: Callable[..., Awaitable[Any]],
    authorizer: Authorizer,
    event: dict[str, Any],
    account_id: str,
    region: str,
) -> Any:
    exchange = exchanges.current.get()
    if exchange is None:  # a WebSocket API
        record = {"account": account_id, "region": region, "api": event["requestContext"]["apiId"]}
        uri, role = str(authorizer.get("authorizerUri") or ""), authorizer.get("authorizerCredentialsArn")
        if functions.refused_by_websocket_api(
            record, uri, role, "authorizers", str(authorizer.get("authorizerId"))
        ):
            return None
        return await stock(authorizer, event, account_id, region)
    version = str(authorizer.get("authorizerPayloadFormatVersion") or "2.0")
    sources = apigateway._request_authorizer_identity_sources(
        authorizer.get("identitySource"),
        exchange.headers,
        exchange.parameters,
        exchange.variables,
        exchanges.variables(exchange),
    )[1]
    arn = event.get("routeArn") or event["methodArn"]
    full = events.for_authorizer(exchange, version, arn, sources)
    try:
        found = await _invoke(exchange, authorizer, authorizer.get("authorizerCredentialsArn"), full)
    except functions.CallError:
        return None
    return found if isinstance(found, dict) else None


@around(apigateway_v1, "_invoke_authorizer_lambda")
async def _invoke_for_rest_api(
    stock: Callable[..., Awaitable[Any]],
    authorizer: Authorizer,
    event: dict[str, Any],
    account_id: str,
    region: str,
) -> Any:
    exchange = exchanges.current.get()
    if exchange is None:
        return await stock(authorizer, event, account_id, region)
    if event["type"] == "REQUEST":
        event = events.for_authorizer(exchange, "1.0", event["methodArn"], [])
    try:
        return {"body": await _invoke(exchange, authorizer, authorizer.get("authorizerCredentials"), event)}
    except functions.FailedError as error:
        return {"error": True, "body": error.payload}
    except functions.CallError:
        return None


async def _invoke(exchange: Exchange, authorizer: Authorizer, role: str | None, event: dict[str, Any]) -> Any:
    name = authorizer.get("authorizerId") or authorizer.get("id") or ""
    return await functions.invoke(
        exchange,
        exchange.authorization,
        uri=str(authorizer.get("authorizerUri") or ""),
        role=role,
        source=exchange.arn("authorizers", name),
        event=event,
        seconds=SECONDS[exchange.kind],
    )


@around([apigateway, apigateway_v1], "_authorizer_ttl")
def _authorizer_ttl(stock: Callable[[Authorizer], int], authorizer: Authorizer) -> float:
    return pace.shortened(stock(authorizer))
