"""The event that a function URL invokes its function with, and the HTTP response from the result.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from ministack.services import lambda_svc

Response = tuple[int, dict[str, Any], bytes]

_TEXT = re.compile(r"text/.*|application/(json|javascript|xml)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[^\r\n\0]*")
_NOT_PASSED_ON = frozenset(
    ("connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade")
)


class MalformedError(Exception):
    """The result of the function is no HTTP response; the text is the reason."""


@dataclass(frozen=True)
class UrlRequest:
    """A request of a client.

    Attributes:
        host: The name of the URL, `ID.lambda-url.REGION.on.aws`.
        method: The method.
        path: As in the request line, percent-encoded.
        query: The query string, percent-encoded.
        headers: Name in lower case and value of each line, in order.
        body: The body.
        source_ip: The address that the connection comes from.
        trace: The root of the trace.
    """

    host: str
    method: str
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    source_ip: str
    trace: str = field(default_factory=lambda_svc._function_url_trace_root)

    @property
    def by_name(self) -> dict[str, str]:
        """The headers as the event has them: the lines of one name are joined."""
        joined: dict[str, str] = {}
        for name, value in self.headers:
            separator = "; " if name == "cookie" else ","
            joined[name] = f"{joined[name]}{separator}{value}" if name in joined else value
        return joined


def make_event(request: UrlRequest, account: str, request_id: str, caller: Any) -> dict[str, Any]:
    """Return the event of a request.

    Args:
        request: The request.
        account: The account of the function; `anonymous` if the URL has the type NONE.
        request_id: The id of the invocation.
        caller: Who signed the request, as the event names it; None if the URL has the type NONE.
    """
    now, headers = time.time(), request.by_name
    cookies = [cookie.strip() for cookie in headers.pop("cookie", "").split(";") if cookie.strip()]
    parameters: dict[str, str] = {}
    for name, value in parse_qsl(request.query, keep_blank_values=True):
        parameters[name] = f"{parameters[name]},{value}" if name in parameters else value
    text = _text(request.body, headers)
    url_id = request.host.partition(".")[0]
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": request.path,
        "rawQueryString": request.query,
        **({"cookies": cookies} if cookies else {}),
        "headers": {**headers, **_added(request, headers)},
        **({"queryStringParameters": parameters} if parameters else {}),
        "requestContext": {
            "accountId": account,
            "apiId": url_id,
            **({"authorizer": {"iam": caller}} if caller else {}),
            "domainName": request.host,
            "domainPrefix": url_id,
            "http": {
                "method": request.method,
                "path": request.path,
                "protocol": "HTTP/1.1",
                "sourceIp": request.source_ip,
                "userAgent": headers.get("user-agent", ""),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now)),
            "timeEpoch": int(now * 1000),
        },
        **(
            {"body": base64.b64encode(request.body).decode() if text is None else text}
            if request.body
            else {}
        ),
        "isBase64Encoded": text is None,
    }


def _added(request: UrlRequest, headers: Mapping[str, str]) -> dict[str, str]:
    first = headers.get("x-forwarded-for", "").partition(",")[0].strip()
    return {
        "host": request.host,
        "x-amzn-tls-cipher-suite": "TLS_AES_128_GCM_SHA256",
        "x-amzn-tls-version": "TLSv1.3",
        "x-amzn-trace-id": headers.get("x-amzn-trace-id") or request.trace,
        "x-forwarded-for": first or request.source_ip,
        "x-forwarded-port": "443",
        "x-forwarded-proto": "https",
    }


def _text(body: bytes, headers: Mapping[str, str]) -> str | None:
    """The body as text; None if it has to be base64-encoded."""
    if not body:
        return ""
    essence = headers.get("content-type", "").partition(";")[0].strip().lower()
    if "content-encoding" in headers or not _TEXT.fullmatch(essence):
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def read_result(result: Any) -> Response:
    """Return the HTTP response in the result of a function.

    A result without `statusCode` is itself the body, as JSON.

    Raises:
        MalformedError: It has a `statusCode`, and is no response all the same.
    """
    if isinstance(result, bytes):
        try:
            result = json.loads(result)
        except ValueError:
            raise _malformed("the result must be JSON", result) from None
    if not isinstance(result, dict) or "statusCode" not in result:
        body = json.dumps(result, ensure_ascii=False, separators=(",", ":"))
        return 200, {"Content-Type": "application/json"}, body.encode()
    status = result["statusCode"]
    if isinstance(status, str) and status.isdecimal():
        status = int(status)
    if type(status) is not int or not 100 <= status <= 599:
        raise _malformed("statusCode must be a number from 100 to 599", status)
    headers = dict(_passed_on(result))
    if not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = "application/json"
    return status, headers, _content(result)


def read_stream(result: Any) -> Response:
    """Return the response of a function whose URL streams: what it wrote, after status and headers, if any.

    Raises:
        MalformedError: Status or headers are not valid.
    """
    written = result if isinstance(result, bytes) else json.dumps(result, separators=(",", ":")).encode()
    prelude, body = lambda_svc._split_stream_prelude(written)
    if prelude is None:
        return 200, {"Content-Type": "application/octet-stream"}, body
    status, headers, _ = read_result({"statusCode": 200, **prelude, "body": ""})
    if not any(name.lower() == "content-type" for name in prelude.get("headers") or {}):
        headers["Content-Type"] = "application/octet-stream"
    return status, headers, body


def _passed_on(result: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    given, cookies = result.get("headers") or {}, result.get("cookies") or []
    if not isinstance(given, dict):
        raise _malformed("headers must be an object", given)
    if not isinstance(cookies, list) or not all(isinstance(cookie, str) for cookie in cookies):
        raise _malformed("cookies must be a list of strings", cookies)
    lines = [*given.items(), *(("Set-Cookie", cookie) for cookie in cookies)]
    for name, value in lines:
        if not isinstance(value, str | int | float):
            raise _malformed(f"headers: {name} must be a string", value)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(text):
            raise _malformed(f"headers: {name} is not a valid header", value)
        if name.lower() not in _NOT_PASSED_ON and not (cookies and name.lower() == "set-cookie"):
            yield name, text
    if cookies:
        yield "Set-Cookie", cookies


def _content(result: Mapping[str, Any]) -> bytes:
    body, encoded = result.get("body"), result.get("isBase64Encoded") or False
    if not isinstance(body, str | None) or not isinstance(encoded, bool):
        raise _malformed("body must be a string, and isBase64Encoded true or false", (type(body), encoded))
    try:
        return base64.b64decode(body or "", validate=True) if encoded else (body or "").encode()
    except (binascii.Error, ValueError) as error:
        raise _malformed("body does not match isBase64Encoded", str(error)) from None


def _malformed(rule: str, given: object) -> MalformedError:
    return MalformedError(f"{rule}; given: {str(given)[:200]}")
