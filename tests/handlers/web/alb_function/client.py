"""A client that invokes the handler as the load balancer does, and insists on well-formed responses."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from types import ModuleType, SimpleNamespace
from typing import Any

from tests.handlers.records import Event, alb_event

CONTEXT = SimpleNamespace(
    aws_request_id="request-1",
    function_name="notes",
    memory_limit_in_mb=512,
    invoked_function_arn="arn:aws:lambda:us-east-2:123456789012:function:notes",
)
TEXT = ("Content-Type", "text/plain; charset=utf-8")
BINARY = ("Content-Type", "application/octet-stream")
JSON = ("Content-Type", "application/json")

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MAX_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """The HTTP response that a client gets."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def lines(self, name: str) -> list[str]:
        """The values of a header, line by line."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def header(self, name: str) -> str:
        """The value of a header; empty if there is none."""
        return ", ".join(self.lines(name))

    def json(self) -> Any:
        """The body, which is JSON."""
        return json.loads(self.body)

    def unzipped(self) -> bytes:
        """The body, which is compressed."""
        assert self.header("content-encoding") == "gzip"
        return gzip.decompress(self.body)


@dataclass(frozen=True)
class Client:
    """Sends requests to the handler.

    Args:
        function: The handler's module.
        multi_value: The mode of the target group.
    """

    function: ModuleType
    multi_value: bool = True

    def send(self, method: str, target: str, *headers: tuple[str, str], body: bytes | str = b"") -> Answer:
        """Send a request."""
        content = body.encode() if isinstance(body, str) else body
        return self.invoke(alb_event(method, target, headers, content, multi_value=self.multi_value))

    def invoke(self, event: Event) -> Answer:
        """Invoke the handler, and read its response as a load balancer does."""
        return read(self.function.handler(event, CONTEXT), multi_value="multiValueHeaders" in event)


def read(response: Mapping[str, Any], *, multi_value: bool) -> Answer:
    """Check that a load balancer would accept a response, and return its HTTP response."""
    assert len(json.dumps(response, ensure_ascii=True)) <= _MAX_BYTES
    assert len(json.dumps(response, ensure_ascii=False).encode()) <= _MAX_BYTES
    status, encoded = response["statusCode"], response["isBase64Encoded"]
    assert type(status) is int
    assert type(encoded) is bool
    assert response["statusDescription"] == f"{status} {HTTPStatus(status).phrase}"
    field, other = ("multiValueHeaders", "headers") if multi_value else ("headers", "multiValueHeaders")
    assert other not in response
    headers = tuple(_lines(response[field], multi_value))
    assert isinstance(response["body"], str)
    body = base64.b64decode(response["body"], validate=True) if encoded else response["body"].encode()
    if status in (204, 304):
        assert body == b""
        assert "content-type" not in {name.lower() for name, _ in headers}
    return Answer(status, headers, body)


def _lines(headers: Mapping[str, Any], multi_value: bool) -> Iterable[tuple[str, str]]:
    for name, value in headers.items():
        assert _TOKEN.fullmatch(name), name
        lines = value if multi_value else [value]
        assert isinstance(lines, list)
        for line in lines:
            assert isinstance(line, str)
            assert line.isascii()
            assert line.isprintable()
            yield name, line
