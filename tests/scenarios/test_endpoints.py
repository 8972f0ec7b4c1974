"""Requests to a public URL: sent to its host on AWS, and to the one address of an AWS on this machine."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest

from scenarios.framework import DeployedStack
from scenarios.support.endpoints import Endpoint

NAME = "notes-0123.eu-west-1.elb.amazonaws.com"


def stack(endpoint_url: str | None, ca_bundle: str | None = None) -> DeployedStack:
    """A stack whose AWS has this endpoint."""
    session = botocore.session.Session()
    session.set_config_variable("ca_bundle", ca_bundle)

    class Session(boto3.Session):
        def client(self, *args: Any, **arguments: Any) -> Any:
            return super().client(*args, **{"endpoint_url": endpoint_url, **arguments})

    made = Session(
        aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-west-1", botocore_session=session
    )
    return DeployedStack("notes", {}, made)


@pytest.mark.parametrize(("scheme", "port"), [("http", 80), ("https", 443)])
def test_on_aws_a_request_is_sent_to_its_host(scheme: str, port: int) -> None:
    endpoint = Endpoint.of(stack(None), f"{scheme}://{NAME}")
    assert endpoint == Endpoint(scheme, (NAME, port), NAME, None)


def test_to_an_aws_on_this_machine_a_request_is_sent_to_its_address_with_the_host_header(
    tmp_path: Path,
) -> None:
    authority = str(tmp_path / "authority.pem")
    local = stack("https://127.0.0.1:4444", authority)
    assert Endpoint.of(local, f"http://{NAME}") == Endpoint("https", ("127.0.0.1", 4444), NAME, authority)
    assert Endpoint.of(local, f"https://{NAME}").host == f"{NAME}:443"


class Echo(BaseHTTPRequestHandler):
    """Answers with the lines of the request."""

    def do_PUT(self) -> None:
        """Answer."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        for line in ("a=1", "b=2"):
            self.send_header("Set-Cookie", line)
        self.end_headers()
        lines = [f"{name}: {value}" for name, value in self.headers.items()]
        self.wfile.write("\n".join([self.path, *lines, body.decode()]).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[tuple[str, int]]:
    """The address of a server that answers with the request."""
    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield "127.0.0.1", server.server_address[1]
        server.shutdown()


def test_requests_are_sent_unchanged(echo: tuple[str, int]) -> None:
    endpoint = Endpoint("http", echo, "notes.example.com")
    answer = endpoint.request("PUT", "/a%2Fb?c=%20&c", headers=[("X", "1"), ("X", "2")], body=b"content")
    assert answer.body.decode().splitlines() == [
        "/a%2Fb?c=%20&c",
        "Host: notes.example.com",
        "Content-Length: 7",
        "X: 1",
        "X: 2",
        "content",
    ]
    assert (answer.status, answer.lines("Set-Cookie")) == (201, ["a=1", "b=2"])
    assert answer.header("set-cookie") == "a=1, b=2"
