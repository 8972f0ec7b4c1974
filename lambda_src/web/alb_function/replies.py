"""What every response needs, whatever it says: validators, compression, the load balancer's form."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import alb
from aws_lambda_powertools.event_handler import Response
from http_rules import MIN_COMPRESSED_BYTES, accepts_gzip, names, problem, tag_of_gzip


@dataclass(frozen=True)
class Reply:
    """A response as the service means it.

    Args:
        status: The status.
        content: The body, not compressed.
        content_type: Its media type; empty if there is no body.
        headers: Headers of one line or of several.
        etag: The entity tag of the content, if it has one.
        gzipped: The body in its compressed form, if that is at hand.
    """

    status: HTTPStatus = HTTPStatus.OK
    content: bytes = b""
    content_type: str = ""
    headers: Mapping[str, str | list[str]] = field(default_factory=dict)
    etag: str | None = None
    gzipped: bytes | None = None


def as_json(value: object, *, status: HTTPStatus = HTTPStatus.OK, **others: Any) -> Reply:
    """Return a reply with JSON in it."""
    content = json.dumps(value, separators=(",", ":")).encode()
    return Reply(status, content, "application/json", **others)


def as_problem(
    status: HTTPStatus, detail: str, request_id: str, headers: Mapping[str, str] | None = None
) -> Reply:
    """Return a reply that says what is wrong."""
    content = json.dumps(problem(status, detail, request_id)).encode()
    return Reply(
        status, content, "application/problem+json", {"Cache-Control": "no-store", **(headers or {})}
    )


def to_response(reply: Reply, request: alb.Request | None) -> Response[Any]:
    """Return a reply in the form in which the request's client and its load balancer take it.

    Args:
        reply: What the service answers.
        request: What it answers to; ``None`` if not even that could be read.
    """
    headers: dict[str, str | list[str]] = {"X-Content-Type-Options": "nosniff", **reply.headers}
    content, etag = reply.content, reply.etag
    compressed = reply.gzipped
    if compressed is None and len(content) >= MIN_COMPRESSED_BYTES:
        compressed = gzip.compress(content, compresslevel=6, mtime=0)
    if compressed is not None:
        headers["Vary"] = "Accept-Encoding"
        if request and accepts_gzip(request.elements("accept-encoding")):
            headers["Content-Encoding"] = "gzip"
            content = compressed
            etag = tag_of_gzip(etag) if etag else None
    if etag:
        headers["ETag"] = etag
    status, content_type = reply.status, reply.content_type
    if request and status is HTTPStatus.OK and names(request.elements("if-none-match"), reply.etag):
        status, content, content_type = HTTPStatus.NOT_MODIFIED, b"", ""
        headers.pop("Content-Encoding", None)
    if content_type:
        headers["Content-Type"] = content_type
    if request and request.method == "HEAD":
        content = b""
    response: Response[Any] = Response(status_code=status.value, headers=_for(request, headers))
    response.body, response.base64_encoded = alb.write_body(content)
    return response


def _for(request: alb.Request | None, headers: Mapping[str, str | list[str]]) -> dict[str, Any]:
    lines = {name: [given] if isinstance(given, str) else given for name, given in headers.items()}
    return dict(lines) if request and request.multi_value else dict(alb.one_line_each(lines))
