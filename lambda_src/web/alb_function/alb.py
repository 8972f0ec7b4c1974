"""HTTP ⇄ the JSON that an Application Load Balancer exchanges with a function.

A target group has one of two modes. With multi-value headers, headers and query parameters are lists
(``multiValueHeaders``, ``multiValueQueryStringParameters``), and the response must use lists too. Without,
they are single strings (``headers``, ``queryStringParameters``): of what a client sent twice the load
balancer passes the last one only. In both modes the path and the query string arrive percent-encoded, as the
client sent them.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html
"""

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias
from urllib.parse import unquote, unquote_plus

from errors import BadRequest

Json: TypeAlias = dict[str, Any]

# Of the whole response as JSON, not of the body in it.
MAX_RESPONSE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Request:
    """An HTTP request.

    Args:
        method: ``GET``, in upper case.
        path: Still percent-encoded: an encoded slash is no slash between segments.
        query: Decoded names and values, in the order in which they came.
        headers: The lines of each header, by its name in lower case.
        body: The bytes that the client sent.
        multi_value: The target group's mode.
    """

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, tuple[str, ...]]
    body: bytes
    multi_value: bool

    @classmethod
    def from_event(cls, event: Json) -> "Request":
        """Read the event of a load balancer.

        Raises:
            BadRequest: The client's query string or body cannot be decoded.
        """
        return cls(
            method=event["httpMethod"].upper(),
            path=event["path"],
            query=tuple(_query(event)),
            headers=_headers(event),
            body=_body(event),
            multi_value=is_multi_value(event),
        )

    def header(self, name: str) -> str:
        """The value of a header, its lines joined as HTTP does it; empty if there is none."""
        return ", ".join(self.headers.get(name, ()))

    def elements(self, name: str) -> list[str]:
        """The elements of a header that is a list, however they are spread over lines."""
        return [element for part in self.header(name).split(",") if (element := part.strip())]

    def parameters(self, name: str) -> list[str]:
        """Every value of a query parameter."""
        return [value for key, value in self.query if key == name]

    def parameter(self, name: str) -> str | None:
        """The last value of a query parameter."""
        return next(reversed(self.parameters(name)), None)

    @property
    def cookies(self) -> dict[str, str]:
        """The cookies, by name. HTTP/2 clients spread them over several lines."""
        pairs = (part.partition("=") for line in self.headers.get("cookie", ()) for part in line.split(";"))
        return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def is_multi_value(event: Json) -> bool:
    """Whether the target group's mode is that of multi-value headers."""
    return "multiValueHeaders" in event


def decode(encoded: str) -> str:
    """Decode a segment of a path.

    Raises:
        BadRequest: What is encoded in it is not UTF-8.
    """
    try:
        return unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        raise BadRequest(f"the path segment {encoded!r} is not percent-encoded UTF-8") from None


def _query(event: Json) -> Iterator[tuple[str, str]]:
    if is_multi_value(event):
        given = event.get("multiValueQueryStringParameters") or {}
        encoded = [(name, value) for name, values in given.items() for value in values]
    else:
        encoded = list((event.get("queryStringParameters") or {}).items())
    for name, value in encoded:
        try:
            # Forms and most HTTP clients write a space as "+".
            yield unquote_plus(name, errors="strict"), unquote_plus(value, errors="strict")
        except UnicodeDecodeError:
            raise BadRequest(f"the query parameter {name}={value} is not percent-encoded UTF-8") from None


def _headers(event: Json) -> dict[str, tuple[str, ...]]:
    headers: dict[str, tuple[str, ...]] = {}
    if is_multi_value(event):
        given = event["multiValueHeaders"] or {}
    else:
        given = {name: [value] for name, value in (event.get("headers") or {}).items()}
    for name, values in given.items():
        headers[name.lower()] = (*headers.get(name.lower(), ()), *values)
    return headers


def _body(event: Json) -> bytes:
    body: str = event.get("body") or ""
    try:
        if event.get("isBase64Encoded"):
            return base64.b64decode(body, validate=True)
        return body.encode()
    except (binascii.Error, ValueError):  # a UnicodeEncodeError is a ValueError
        raise BadRequest("the body could not be decoded") from None


# --- The response


def write_body(content: bytes) -> tuple[str, bool]:
    """Return the body for the JSON, and whether it is in base64: text if that is as short.

    Only ASCII goes as text: how much room other characters take depends on who writes the JSON.
    """
    encoded = base64.b64encode(content).decode()
    if content.isascii():
        text = content.decode("ascii")
        if len(json.dumps(text)) <= len(encoded) + 2:
            return text, False
    return encoded, True


def one_line_each(headers: Mapping[str, list[str]]) -> dict[str, str]:
    """Spell headers of several lines for a target group without multi-value headers.

    Lists are joined with commas. Cookies must not be: each gets a name in another case, which is another key
    in the JSON and the same header in HTTP. (Mangum and serverless-wsgi send several cookies in this way.)
    """
    single = {name: ", ".join(values) for name, values in headers.items() if name != "Set-Cookie"}
    cookies = headers.get("Set-Cookie", [])
    return {**single, **dict(zip(_cases("set-cookie"), cookies, strict=False))}


def _cases(name: str) -> Iterator[str]:
    letters = [index for index, letter in enumerate(name) if letter.isalpha()]
    for number in range(2 ** len(letters)):
        upper = {index for bit, index in enumerate(letters) if number >> bit & 1}
        yield "".join(letter.upper() if index in upper else letter for index, letter in enumerate(name))


def with_description(response: Json) -> Json:
    """Add the status line that the load balancer expects: ``"200 OK"``."""
    status = response["statusCode"]
    return {**response, "statusDescription": f"{status} {HTTPStatus(status).phrase}"}


def size_of(response: Json) -> int:
    """Return the size of a response as JSON, in bytes, whose strings are all ASCII."""
    return len(json.dumps(response))
