"""Clients of the two URLs: unsigned, and signed by botocore."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from scenarios.framework import DeployedStack, require
from scenarios.support.endpoints import Endpoint, HttpResponse
from scenarios.support.other_account import assume

TEXT = {"Content-Type": "text/plain; charset=utf-8"}
BINARY = {"Content-Type": "application/octet-stream"}


class Client:
    """Sends requests to a function URL.

    Args:
        stack: The deployed stack.
        url: The URL.
        credentials: What it signs with, as arguments of a boto3 client. Default: it does not sign.
    """

    def __init__(self, stack: DeployedStack, url: str, credentials: Mapping[str, str] | None = None) -> None:
        self._endpoint = Endpoint.of(stack, url.rstrip("/"))
        self._region = stack.session.region_name
        self._credentials = credentials

    def send(
        self, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> HttpResponse:
        """Send a request."""
        host = self._endpoint.host
        given = AWSRequest(method, f"https://{host}{target}", {"Host": host, **(headers or {})}, body)
        if self._credentials is not None:
            SigV4Auth(Credentials(*self._credentials.values()), "lambda", self._region).add_auth(given)
        lines = [(name, value) for name, value in given.headers.items() if name != "Host"]
        return self._endpoint.request(method, target, headers=lines, body=body)

    def expect(
        self,
        status: int,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
    ) -> HttpResponse:
        """Send a request whose response must have this status."""
        answer = self.send(method, target, headers, body)
        seen = f"{method} {target[:60]}: {answer.status} instead of {status}: {answer.body[:300]!r}"
        require(answer.status == status, seen)
        return answer

    def expect_forbidden(self, method: str = "GET", target: str = "/health") -> None:
        """Send a request that Lambda must refuse, without a word about the function."""
        answer = self.expect(403, method, target)
        require(answer.json().get("Message", "").startswith("Forbidden"), f"403 with {answer.body!r}")


class Notes:
    """The notes of one run, and the clients for them.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid.uuid4().hex[:8]
        self.public = Client(stack, stack.output("PublicUrl"))
        self.editor = self.signed_by(stack, assume(stack, stack.output("EditorRoleArn")))
        self._written: set[str] = set()

    @staticmethod
    def signed_by(stack: DeployedStack, credentials: Mapping[str, Any]) -> Client:
        """A client of the URL for signed requests."""
        return Client(stack, stack.output("SignedUrl"), credentials)

    def path(self, name: str) -> str:
        """The path of a note of this run."""
        path = f"/notes/{quote(f'{self.run_id} {name}', safe='')}"
        self._written.add(path)
        return path

    def close(self) -> None:
        """Delete the notes of this run."""
        for path in self._written:
            self.editor.send("DELETE", path)
