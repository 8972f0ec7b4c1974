"""HTTP requests and responses as plain Python, whichever AWS service delivers them."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote


class HttpError(Exception):
    """A request that gets an error response.

    Args:
        status: The HTTP status.
        detail: What was given, what is allowed, what to do. The client reads it, so it names no internals.
        headers: Headers that belong to the status, such as ``Allow``.
    """

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


@dataclass(frozen=True, kw_only=True)
class Request:
    """An HTTP request.

    Args:
        method: The method, in upper case.
        path: The path, still percent-encoded: an encoded slash does not separate segments.
        query: Decoded names and values, in the order in which they arrived.
        headers: The lines of each header, by its name in lower case.
        body: The bytes that the client sent.
    """

    method: str
    path: str
    query: Sequence[tuple[str, str]] = ()
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    body: bytes = b""

    def segments(self) -> list[str]:
        """The decoded segments of the path.

        Raises:
            HttpError: 400, a segment is not UTF-8.
        """
        return [percent_decode(segment) for segment in self.path.split("/")[1:]]

    def parameters(self, name: str) -> list[str]:
        """All values of a query parameter."""
        return [value for key, value in self.query if key == name]

    def header(self, name: str) -> str:
        """The value of a header, with its lines joined by commas; empty if the header is missing."""
        return ", ".join(self.headers.get(name, ()))

    def elements(self, name: str) -> list[str]:
        """The elements of a header that holds a list, from all of its lines."""
        return [element for part in self.header(name).split(",") if (element := part.strip())]

    @property
    def cookies(self) -> list[tuple[str, str]]:
        """Name and value of each cookie, in the client's order. HTTP/2 clients send them in several lines."""
        pairs = (part.partition("=") for line in self.headers.get("cookie", ()) for part in line.split(";"))
        return [(name.strip(), value.strip()) for name, equals, value in pairs if equals]


@dataclass(frozen=True, kw_only=True)
class Response:
    """An HTTP response.

    Args:
        status: The HTTP status.
        headers: The value of each header, or a list with its lines.
        body: The body.
    """

    status: HTTPStatus = HTTPStatus.OK
    headers: Mapping[str, str | list[str]] = field(default_factory=dict)
    body: bytes = b""


def problem(error: HttpError, request_id: str) -> Response:
    """Return an error response in the format of RFC 9457 (problem details)."""
    body = {
        "title": error.status.phrase,
        "status": error.status.value,
        "detail": error.detail,
        "request_id": request_id,
    }
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store", **error.headers}
    return Response(status=error.status, headers=headers, body=json.dumps(body).encode())


def percent_decode(encoded: str) -> str:
    """Decode percent-encoded UTF-8.

    Raises:
        HttpError: 400, it is not UTF-8, or a percent sign is without two hexadecimal digits.
    """
    if re.search(r"%(?![0-9A-Fa-f]{2})", encoded):
        raise HttpError(HTTPStatus.BAD_REQUEST, f"{encoded!r} is not percent-encoded UTF-8")
    try:
        return unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        raise HttpError(HTTPStatus.BAD_REQUEST, f"{encoded!r} is not percent-encoded UTF-8") from None
