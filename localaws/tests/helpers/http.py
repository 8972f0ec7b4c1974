"""HTTP requests exactly as a test writes them, sent to the embedded AWS under another name."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from localaws import Address

Headers = Iterable[tuple[str, str]]

TIMEOUT = 60  # seconds


@dataclass(frozen=True)
class HttpResponse:
    """A response.

    Args:
        status: The status.
        headers: Name in lower case and value of each line, in order.
        body: The bytes as they came; compressed bodies stay compressed.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def lines(self, name: str) -> list[str]:
        """The values of a header, line by line."""
        return [value for key, value in self.headers if key == name.lower()]

    def header(self, name: str) -> str:
        """The value of a header; empty if there is none."""
        return ", ".join(self.lines(name))

    def json(self) -> Any:
        """The body, parsed as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Endpoint:
    """Where to send requests.

    Args:
        host: Host to connect to.
        port: Port to connect to.
        name: The Host header.
        ca_file: The certificate to trust.
    """

    host: str
    port: int
    name: str
    ca_file: str

    @classmethod
    def of(cls, address: Address, name: str) -> Endpoint:
        """The endpoint at an address of the embedded AWS, with this Host header."""
        parts = urlsplit(address.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return cls(parts.hostname, parts.port, name, str(address.ca_file))

    def request(self, method: str, target: str, *, headers: Headers = (), body: bytes = b"") -> HttpResponse:
        """Send a request without changing it or following redirects, and read the whole response.

        Args:
            method: The method.
            target: Path and query string, percent-encoded.
            headers: Header lines; a name may occur more than once.
            body: The body.
        """
        context = ssl.create_default_context(cafile=self.ca_file)
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=TIMEOUT, context=context)
        with closing(connection):
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", self.name)
            if body or method in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", str(len(body)))
            for header, value in headers:
                connection.putheader(header, value)
            # A server that refuses a large body may respond and close before it has read all of it.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.endheaders(body or None)
            answer = connection.getresponse()
            lines = tuple((name.lower(), value) for name, value in answer.getheaders())
            return HttpResponse(answer.status, lines, answer.read())
