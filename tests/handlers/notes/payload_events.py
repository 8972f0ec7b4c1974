"""Events of HTTP APIs, REST APIs and function URLs, with all fields that AWS sends.

Which fields there are, and which of them are encoded, is as in the events that Powertools for AWS Lambda
(``tests/events``) and aws-lambda-go (``events/testdata``) publish, and as in those that hotsock/voker
captured in July 2026 (``vokerhttp/testdata``): the values are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

Lines = Sequence[tuple[str, str]]
Json = dict[str, Any]

_TRACE = "Root=1-67891233-abcdef012345678912345678"
_FORWARDED = (
    ("X-Amzn-Trace-Id", _TRACE),
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-Port", "443"),
    ("X-Forwarded-Proto", "https"),
)
_IDENTITY = (
    "accessKey accountId caller cognitoAuthenticationProvider cognitoAuthenticationType cognitoIdentityId "
    "cognitoIdentityPoolId principalOrgId user userArn"
)


def rest_event(
    method: str, target: str, headers: Lines = (), body: str | None = None, *, is_base64: bool = False
) -> Json:
    """The event of a REST API: the path as it was sent, the query string decoded."""
    path, query = _split(target)
    lines = _grouped([("Host", "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com"), *_FORWARDED, *headers])
    return {
        "resource": "/{proxy+}",
        "path": path,
        "httpMethod": method,
        "headers": {name: values[-1] for name, values in lines.items()},
        "multiValueHeaders": lines,
        "queryStringParameters": {name: values[-1] for name, values in query.items()} or None,
        "multiValueQueryStringParameters": query or None,
        "pathParameters": {"proxy": path[1:]},
        "stageVariables": None,
        "requestContext": {
            **_context("prod"),
            "authorizer": {"principalId": "ada", "integrationLatency": 12},
            "extendedRequestId": "LV7fzho-PHcEJPw=",
            "httpMethod": method,
            "identity": {
                **dict.fromkeys(_IDENTITY.split()),
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8",
            },
            "path": f"/prod{path}",
            "protocol": "HTTP/1.1",
            "requestTime": "10/Jul/2026:19:19:04 +0000",
            "requestTimeEpoch": 1783711144836,
            "resourceId": "al6gqb",
            "resourcePath": "/{proxy+}",
        },
        "body": body,
        "isBase64Encoded": is_base64,
    }


def http_api_v1_event(method: str, target: str, *more: Any, stage: str = "$default", **options: Any) -> Json:
    """The event of an HTTP API that was asked for payload format 1.0: the path decoded, with the stage."""
    event = rest_event(method, target, *more, **options)
    path = _with_stage(_decoded(event["path"]), stage)
    context = {**event["requestContext"], "path": path, "stage": stage, "resourceId": "ANY /{proxy+}"}
    context["authorizer"] = {"claims": {"sub": "ada"}, "scopes": None}
    return {**event, "version": "1.0", "path": path, "requestContext": context}


def http_api_event(
    method: str,
    target: str,
    headers: Lines = (),
    body: str | None = None,
    *,
    is_base64: bool = False,
    stage: str = "$default",
) -> Json:
    """The event of an HTTP API: the path decoded, with the stage; the query string as it was sent."""
    path, query = _split(target)
    host = "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com"
    given = [("host", host), *((name.lower(), value) for name, value in (*_FORWARDED, *headers))]
    lines = _grouped(given)
    cookies = [part.strip() for line in lines.pop("cookie", []) for part in line.split(";")]
    decoded = _with_stage(_decoded(path), stage)
    event = {
        "version": "2.0",
        "routeKey": "ANY /{proxy+}",
        "rawPath": decoded,
        "rawQueryString": target.partition("?")[2],
        "cookies": cookies,
        "headers": {name: ",".join(values) for name, values in lines.items()},
        "queryStringParameters": {name: ",".join(values) for name, values in query.items()},
        "pathParameters": {"proxy": decoded[1:]},
        "requestContext": {
            **_context(stage),
            "authorizer": {"jwt": {"claims": {"sub": "ada"}, "scopes": None}},
            "http": {
                "method": method,
                "path": decoded,
                "protocol": "HTTP/1.1",
                "sourceIp": "203.0.113.7",
                "userAgent": "curl/8",
            },
            "routeKey": "ANY /{proxy+}",
            "time": "10/Jul/2026:19:19:05 +0000",
            "timeEpoch": 1783711145766,
        },
        "body": body,
        "isBase64Encoded": is_base64,
    }
    missing = [name for name in ("cookies", "queryStringParameters", "body") if not event[name]]
    return {name: value for name, value in event.items() if name not in missing}


def function_url_event(method: str, target: str, headers: Lines = (), *more: Any, **options: Any) -> Json:
    """The event of a function URL: that of an HTTP API, with the path and the cookies as they were sent."""
    event = http_api_event(method, target, headers, *more, **options)
    host = "2cxn22odiwguak4feg4jtt7cwm0ziblr.lambda-url.eu-west-1.on.aws"
    cookies = {"cookie": "; ".join(event["cookies"])} if "cookies" in event else {}
    context = {**event["requestContext"], "accountId": "anonymous", "apiId": host.partition(".")[0]}
    context |= {"domainName": host, "domainPrefix": host.partition(".")[0], "routeKey": "$default"}
    del context["authorizer"], event["pathParameters"]
    return {
        **event,
        "routeKey": "$default",
        "rawPath": target.partition("?")[0],
        "headers": {**event["headers"], **cookies, "host": host},
        "requestContext": context,
    }


def _context(stage: str) -> Json:
    return {
        "accountId": "123456789012",
        "apiId": "a1b2c3d4e5",
        "domainName": "a1b2c3d4e5.execute-api.eu-west-1.amazonaws.com",
        "domainPrefix": "a1b2c3d4e5",
        "requestId": "7c2af7db-31f3-42b5-8a6d-9ffc74e3b9e0",
        "stage": stage,
    }


def _split(target: str) -> tuple[str, dict[str, list[str]]]:
    path, _, query = target.partition("?")
    return path, parse_qs(query, keep_blank_values=True)


def _grouped(lines: Lines) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in lines:
        grouped.setdefault(name, []).append(value)
    return grouped


def _decoded(path: str) -> str:
    """The path as an HTTP API decodes it: all escapes but that of the percent sign."""
    return unquote(path.replace("%25", "%2525"))


def _with_stage(path: str, stage: str) -> str:
    return path if stage == "$default" else f"/{stage}{path}"
