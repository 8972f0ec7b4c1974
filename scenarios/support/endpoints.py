"""HTTP requests to a public URL of a stack: on AWS, and on an embedded AWS, where its name has no address."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from scenarios.framework import DeployedStack

Headers = Iterable[tuple[str, str]]

TIMEOUT = 60  # seconds to wait for a connection or for data
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class HttpResponse:
    """An HTTP response.

    Args:
        status: The status.
        headers: Name in lower case and value of each line, in order.
        body: The bytes as received; compressed ones are not decompressed.
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
        """The body, which is JSON."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Endpoint:
    """The address that requests to a public URL are sent to.

    Args:
        scheme: How to connect: ``http`` or ``https``.
        address: Host and port to connect to.
        host: The Host header.
        ca_file: Certificate authorities to trust. Default: those of the machine.
    """

    scheme: str
    address: tuple[str, int]
    host: str
    ca_file: str | None = None

    @classmethod
    def of(cls, stack: DeployedStack, url: str) -> Endpoint:
        """Find the way to a URL that a stack gives out.

        Args:
            stack: The deployed stack.
            url: Scheme and host: ``https://name.us-east-1.elb.amazonaws.com``.
        """
        public = urlsplit(url)
        assert public.hostname is not None
        port = public.port or _DEFAULT_PORTS[public.scheme]
        aws = urlsplit(stack.client("sts").meta.endpoint_url)
        if aws.hostname not in _LOOPBACK:
            return cls(public.scheme, (public.hostname, port), public.netloc)
        # An AWS on this machine serves everything at one address, and distinguishes by the Host header.
        host = public.hostname if port == _DEFAULT_PORTS["http"] else f"{public.hostname}:{port}"
        authority = stack.session._session.get_config_variable("ca_bundle")
        return cls(aws.scheme, (aws.hostname, aws.port or _DEFAULT_PORTS[aws.scheme]), host, authority)

    @property
    def is_local(self) -> bool:
        """Whether it is an AWS on this machine, to which no public name leads."""
        return self.address[0] in _LOOPBACK

    def request(self, method: str, target: str, *, headers: Headers = (), body: bytes = b"") -> HttpResponse:
        """Send a request unchanged, without following redirects, and read the whole response.

        Args:
            method: The method.
            target: Path and query string, percent-encoded.
            headers: Lines; a name may occur more than once.
            body: The body.
        """
        with closing(self._connect()) as connection:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            connection.putheader("Host", self.host)
            if body or method in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", str(len(body)))
            for name, value in headers:
                connection.putheader(name, value)
            # A server that refuses a large body may answer, and close, before all of it is sent.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.endheaders(body or None)
            answer = connection.getresponse()
            lines = tuple((name.lower(), value) for name, value in answer.getheaders())
            return HttpResponse(answer.status, lines, answer.read())

    def client(self, **settings: Any) -> httpx.Client:
        """Return a client that follows the conventions of HTTP, as those of users do; its URLs are paths.

        Args:
            **settings: Arguments of ``httpx.Client``.
        """
        return httpx.Client(
            base_url=f"{self.scheme}://{self.address[0]}:{self.address[1]}",
            headers={"Host": self.host, **settings.pop("headers", {})},
            verify=ssl.create_default_context(cafile=self.ca_file),
            timeout=TIMEOUT,
            trust_env=False,
            **settings,
        )

    def _connect(self) -> http.client.HTTPConnection:
        if self.scheme == "http":
            return http.client.HTTPConnection(*self.address, timeout=TIMEOUT)
        context = ssl.create_default_context(cafile=self.ca_file)
        return http.client.HTTPSConnection(*self.address, timeout=TIMEOUT, context=context)
