"""The Runtime API serves only processes of its user, and no web page."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from localaws.engines.runtime_api.sandbox import Invocation, Sandbox
from localaws.engines.runtime_api.server import ApiServer
from localaws.engines.runtime_api.telemetry import Telemetry

PING = "GET /2018-06-01/ping HTTP/1.1\r\nHost: {}\r\n{}Connection: close\r\n\r\n"

needs_proc = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="this system has no /proc")


@pytest.fixture
def server() -> Iterator[ApiServer]:
    telemetry = Telemetry("127.0.0.1")
    made = ApiServer(Sandbox({}, []), telemetry)
    yield made
    made.close()
    telemetry.close()


def asked(server: ApiServer, request: str, family: socket.AddressFamily = socket.AF_INET) -> bytes:
    """The answer to a request; empty if the server hangs up."""
    host = "127.0.0.1" if family == socket.AF_INET else "::ffff:127.0.0.1"
    with socket.socket(family) as connection:
        connection.connect((host, server.server_address[1]))
        try:
            connection.sendall(request.encode())
            connection.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: connection.recv(1000), b""))
        except ConnectionError:
            return b""


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_a_process_of_this_user_is_served(server: ApiServer, family: socket.AddressFamily) -> None:
    assert asked(server, PING.format(server.address, ""), family).endswith(b"pong")


@needs_proc
def test_a_connection_of_another_user_is_closed(server: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    other = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: other)
    assert asked(server, PING.format(server.address, "")) == b""


@needs_proc
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_cannot_ask_a_server_of_root(server: ApiServer) -> None:
    source = (
        # The codec is loaded while its file can be read.
        "import os, socket; 'a'.encode('idna'); os.setuid(65534)\n"
        f"s = socket.create_connection({server.server_address!r})\n"
        f"try: s.sendall({PING.format(server.address, '').encode()!r}); print(s.recv(1000))\n"
        "except ConnectionError: print(b'')"
    )
    ran = subprocess.run([sys.executable, "-S", "-c", source], capture_output=True, text=True, check=True)
    assert ran.stdout == "b''\n"


@pytest.mark.parametrize(
    ("host", "header"),
    [
        ("evil.example.com", ""),
        ("localhost", ""),
        (None, "Origin: http://evil.example.com\r\n"),
        (None, "Sec-Fetch-Site: cross-site\r\n"),
    ],
)
def test_a_web_page_is_refused(server: ApiServer, host: str | None, header: str) -> None:
    assert asked(server, PING.format(host or server.address, header)).startswith(b"HTTP/1.1 403")


@pytest.mark.parametrize(
    "body",
    [
        'Content-Length: 100\r\n\r\n{"par',
        "Content-Length: abc\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n5\r\nabc",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_a_response_that_breaks_off_is_an_error_of_the_runtime(server: ApiServer, body: str) -> None:
    invocation = Invocation("id", b"{}", "arn", 0.0)
    server.sandbox.begin(invocation)
    head = f"POST /2018-06-01/runtime/invocation/id/response HTTP/1.1\r\nHost: {server.address}\r\n"
    answer = asked(server, head + body)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"TruncatedHTTPRequest" in answer
    assert invocation.answer is None
    assert server.sandbox.fault
    assert server.sandbox.fault.kind == "Runtime.TruncatedResponse"
