"""What the result of a function means to the client of an API.

    result -> valid? -> status, headers, cookies, body
           -> else   -> 500 behind an HTTP API, 502 behind a REST API

The emulator accepts any result, and takes bodies that are no text.

Faithful to: in format 2.0, a result without `statusCode` is the body of a response with status 200 and type
`application/json`. Otherwise `statusCode` must be a status, headers must be single values,
`multiValueHeaders` (format 1.0) lists of them, `cookies` (format 2.0) strings, `body` a string, and base64 if
it says so. A REST API takes no other fields. It decodes a body only if the request accepts one of
`binaryMediaTypes`, and renames some headers to `x-amzn-Remapped-...`.
Not to: headers that HTTP APIs rename.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html
https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ministack.services import apigateway_v1

from localaws.services.apigateway.exchanges import Exchange
from localaws.services.apigateway.requests import Response

_REST_FIELDS = {"isBase64Encoded", "statusCode", "headers", "multiValueHeaders", "body"}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\r\n\0]*")
_DROPPED = {"content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "connection"}
_REMAPPED = {"connection", "content-length", "date", "server", "www-authenticate"}


class MalformedError(Exception):
    """The result is no valid response; the text says why."""


def read(exchange: Exchange, result: Any, version: str) -> Response:
    """Return the response that a result means.

    Args:
        exchange: The request.
        result: What the function returned.
        version: The format of the event, 1.0 or 2.0.

    Raises:
        MalformedError: It means none.
    """
    if version == "2.0" and not (isinstance(result, dict) and "statusCode" in result):
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False)
        return 200, {"Content-Type": "application/json"}, text.encode("utf-8", "surrogatepass")
    if not isinstance(result, dict):
        raise MalformedError(f"the result must be an object, not {json.dumps(result)[:100]}")
    if exchange.kind == "rest" and (unknown := result.keys() - _REST_FIELDS):
        raise MalformedError(f"the result has unknown fields: {', '.join(sorted(unknown))}")
    headers: dict[str, Any] = {"Content-Type": "application/json"}
    for name, values in _headers(result, version):
        for known in [key for key in headers if key.lower() == name.lower()]:
            del headers[known]
        headers[name] = values[0] if len(values) == 1 else values
    return _status(result), dict(_passed_on(exchange, headers)), _content(exchange, result)


def _status(result: Mapping[str, Any]) -> int:
    given = result.get("statusCode")
    text = str(given) if isinstance(given, (int, str)) and not isinstance(given, bool) else ""
    if not re.fullmatch(r"[1-5]\d\d", text):
        raise MalformedError(f"statusCode must be 100 to 599, not {given!r}")
    return int(text)


def _headers(result: Mapping[str, Any], version: str) -> Iterator[tuple[str, list[str]]]:
    single, many = result.get("headers") or {}, result.get("multiValueHeaders") or {}
    cookies = result.get("cookies") or []
    if not isinstance(single, dict) or not isinstance(many, dict) or not isinstance(cookies, list):
        raise MalformedError("headers and multiValueHeaders must be objects, and cookies a list")
    if version == "2.0":
        many = {}
    listed = {name.lower() for name in many}
    for name, value in single.items():
        if name.lower() == "set-cookie" and version == "2.0" and cookies:
            cookies = [*cookies, value]
        elif name.lower() not in listed:
            yield name, [_value(name, value)]
    for name, values in many.items():
        if not isinstance(values, list):
            raise MalformedError(f"multiValueHeaders: {name} must be a list")
        more = [value for key, value in single.items() if key.lower() == name.lower() and value not in values]
        if values or more:
            yield name, [_value(name, value) for value in [*more, *values]]
    if version == "2.0" and cookies:
        yield "Set-Cookie", [_value("cookies", value) for value in cookies]


def _value(name: str, value: Any) -> str:
    if value is None or isinstance(value, (dict, list)):
        raise MalformedError(f"header {name} must be a single value, not {json.dumps(value)[:100]}")
    text = str(value).lower() if isinstance(value, bool) else str(value)
    if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(text):
        raise MalformedError(f"header {name!r} is not valid")
    return text


def _passed_on(exchange: Exchange, headers: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in headers.items():
        if exchange.kind == "rest" and name.lower() in _REMAPPED:
            yield f"x-amzn-Remapped-{name}", value
        elif name.lower() not in _DROPPED:
            yield name, value


def _content(exchange: Exchange, result: Mapping[str, Any]) -> bytes:
    body, encoded = result.get("body"), result.get("isBase64Encoded") or False
    if body is None:
        return b""
    if not isinstance(body, str) or not isinstance(encoded, bool):
        raise MalformedError("body must be a string, and isBase64Encoded true or false")
    if exchange.kind == "rest":
        accepted = exchange.client.header("accept").partition(",")[0]
        types = exchange.api.get("binaryMediaTypes") or []
        encoded = encoded and apigateway_v1._media_type_matches(accepted, types)
    if not encoded:
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise MalformedError("body is not base64, as isBase64Encoded says") from None
