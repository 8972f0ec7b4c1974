"""Events for functions behind APIs, in the formats 1.0 and 2.0.

The emulator has one format for HTTP APIs and leaves out cookies, the domain prefix, forwarded headers, stage
variables, and most of the identity.

Faithful to: both formats with all documented fields. Format 2.0 joins repeated headers and parameters with
commas, and has the cookies apart from the headers; fields without a value are left out. Format 1.0 has the
last value and all values, and null without one. The path of an HTTP API has the stage, that of a REST API has
not. Bodies of HTTP APIs are base64-encoded unless their type is text, JSON, JavaScript or XML, those of REST
APIs if their type is one of `binaryMediaTypes`. The event of a REST API has no version.
Not to: client certificates.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-lambda-authorizer.html
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterable
from typing import Any

from ministack.services import apigateway, apigateway_v1

from localaws.services.apigateway.exchanges import Exchange

Event = dict[str, Any]
# API Gateway writes the names of the headers that it adds to REST APIs in this way.
_ADDED = {
    "host": "Host",
    "x-amzn-trace-id": "X-Amzn-Trace-Id",
    "x-forwarded-for": "X-Forwarded-For",
    "x-forwarded-port": "X-Forwarded-Port",
    "x-forwarded-proto": "X-Forwarded-Proto",
}
_IDENTITY = (
    *("accessKey", "accountId", "caller", "cognitoAuthenticationProvider", "cognitoAuthenticationType"),
    *("cognitoIdentityId", "cognitoIdentityPoolId", "principalOrgId", "user", "userArn"),
)


def format_2_0(exchange: Exchange) -> Event:
    """The event of format 2.0."""
    event = _request_2_0(exchange)
    if exchange.authorizer is not None:
        event["requestContext"]["authorizer"] = exchange.authorizer
    text, encoded = _body(exchange)
    return event | ({} if text is None else {"body": text}) | {"isBase64Encoded": encoded}


def _request_2_0(exchange: Exchange) -> Event:
    client = exchange.client
    cookies = [
        cookie.strip() for name, value in client.headers if name == "cookie" for cookie in value.split(";")
    ]
    lines = _grouped(line for line in exchange.header_lines() if line[0] != "cookie")
    optional = {
        "cookies": [cookie for cookie in cookies if cookie],
        "queryStringParameters": {name: ",".join(given) for name, given in _grouped(exchange.query).items()},
        "pathParameters": exchange.path_parameters,
        "stageVariables": exchange.variables,
    }
    return {
        "version": "2.0",
        "routeKey": exchange.route,
        "rawPath": exchange.full_path,
        "rawQueryString": client.query,
        "headers": {name: ",".join(given) for name, given in lines.items()},
        **{name: value for name, value in optional.items() if value},
        "requestContext": {
            "accountId": exchange.account,
            "apiId": exchange.api_id,
            "domainName": exchange.domain,
            "domainPrefix": exchange.domain.partition(".")[0],
            "http": {
                "method": exchange.method,
                "path": exchange.full_path,
                "protocol": client.protocol,
                "sourceIp": client.source_ip,
                "userAgent": client.header("user-agent"),
            },
            "requestId": exchange.request_id,
            "routeKey": exchange.route,
            "stage": exchange.stage_name,
            "time": _clock(exchange),
            "timeEpoch": int(client.epoch * 1000),
        },
    }


def format_1_0(exchange: Exchange) -> Event:
    """The event of format 1.0, as HTTP and REST APIs send it."""
    event = _request_1_0(exchange)
    said = exchange.authorizer
    if exchange.kind == "http":
        said = said or {}
        event["requestContext"]["authorizer"] = {
            "claims": None,
            "scopes": None,
            **(said.get("jwt") or {}),
            **(said.get("lambda") or {}),
        }
    elif said is not None:
        event["requestContext"]["authorizer"] = said
    text, encoded = _body(exchange)
    return event | {"body": text, "isBase64Encoded": encoded}


def _request_1_0(exchange: Exchange) -> Event:
    http = exchange.kind == "http"
    lines = [(name if http else _ADDED.get(name, name), value) for name, value in exchange.header_lines()]
    headers, parameters = _grouped(lines), _grouped(exchange.query)
    resource = exchange.route.partition(" ")[2] or exchange.route
    context = {
        "accountId": exchange.account,
        "apiId": exchange.api_id,
        "domainName": exchange.domain,
        "domainPrefix": exchange.domain.partition(".")[0],
        "extendedRequestId": exchange.extended_id,
        "httpMethod": exchange.method,
        "identity": {
            **dict.fromkeys(_IDENTITY),
            "sourceIp": exchange.client.source_ip,
            "userAgent": exchange.client.header("user-agent"),
            **exchange.identity,
        },
        "path": exchange.full_path,
        "protocol": exchange.client.protocol,
        "requestId": exchange.request_id,
        "requestTime": _clock(exchange),
        "requestTimeEpoch": int(exchange.client.epoch * 1000),
        "resourceId": exchange.route if http else exchange.resource_id,
        "resourcePath": resource,
        "stage": exchange.stage_name,
        **({} if http else {"deploymentId": exchange.stage.get("deploymentId")}),
    }
    return {
        **({"version": "1.0"} if http else {}),
        "resource": resource,
        "path": exchange.full_path if http else exchange.path,
        "httpMethod": exchange.method,
        "headers": {name: given[-1] for name, given in headers.items()},
        "multiValueHeaders": headers,
        "queryStringParameters": {name: given[-1] for name, given in parameters.items()} or None,
        "multiValueQueryStringParameters": parameters or None,
        "requestContext": context,
        "pathParameters": exchange.path_parameters or None,
        "stageVariables": exchange.variables or None,
    }


def for_authorizer(exchange: Exchange, version: str, arn: str, identity_source: list[str]) -> Event:
    """The event of a Lambda authorizer of the type REQUEST.

    Args:
        exchange: The request.
        version: The format, which is 1.0 for REST APIs.
        arn: The method or route that is asked for.
        identity_source: The values of the identity sources.
    """
    if version == "2.0":
        event = _request_2_0(exchange)
        return {"version": "2.0", "type": "REQUEST", "routeArn": arn, "identitySource": identity_source} | {
            name: value for name, value in event.items() if name != "version"
        }
    event = _request_1_0(exchange)
    said = {"type": "REQUEST", "methodArn": arn}
    if exchange.kind == "http":
        said |= {"identitySource": ",".join(identity_source), "authorizationToken": ",".join(identity_source)}
    return said | event


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in pairs:
        grouped.setdefault(name, []).append(value)
    return grouped


def _body(exchange: Exchange) -> tuple[str | None, bool]:
    if not exchange.body:
        return None, False
    kind = exchange.client.header("content-type")
    if exchange.kind == "http":
        binary = not apigateway._v2_request_body_is_text(kind)
    else:
        binary = apigateway_v1._media_type_matches(kind, exchange.api.get("binaryMediaTypes") or [])
    if binary:
        return base64.b64encode(exchange.body).decode(), True
    return exchange.body.decode("utf-8", "replace"), False


def _clock(exchange: Exchange) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(exchange.client.epoch))
