"""The callers of both APIs: users with tokens of Cognito, partners with their own, operators with IAM."""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from scenarios.framework import DeployedStack, require
from scenarios.support.endpoints import Endpoint, Headers, HttpResponse

JSON = ("Content-Type", "application/json")
TEXT = ("Content-Type", "text/plain; charset=utf-8")


class Callers:
    """Callers of one run; what they made is deleted when the ``with`` block ends.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid.uuid4().hex[:8]
        self._stack = stack
        self._cognito = stack.client("cognito-idp")
        self._dynamodb = stack.client("dynamodb")
        self._urls = {"http": urlsplit(stack.output("HttpUrl")), "rest": urlsplit(stack.output("RestUrl"))}
        self._endpoints = {
            api: Endpoint.of(stack, f"{url.scheme}://{url.netloc}") for api, url in self._urls.items()
        }
        self._notes: set[str] = set()
        self._users: list[str] = []
        self._partners: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for user in self._users:
            self._cognito.admin_delete_user(UserPoolId=self._stack.output("UserPoolId"), Username=user)
        for hashed in self._partners:
            key = {"token_hash": {"S": hashed}}
            self._dynamodb.delete_item(TableName=self._stack.output("PartnersTableName"), Key=key)
        for note in self._notes:
            key = {"name": {"S": note}}
            self._dynamodb.delete_item(TableName=self._stack.output("NotesTableName"), Key=key)

    def user(self, client: str = "ClientId") -> str:
        """Create a user, sign in at an app client, and return the ID token as a header."""
        name, password = f"{self.run_id}-{len(self._users)}", f"Aa1!{secrets.token_hex(12)}"
        pool = {"UserPoolId": self._stack.output("UserPoolId")}
        self._cognito.admin_create_user(**pool, Username=name, MessageAction="SUPPRESS")
        self._users.append(name)
        self._cognito.admin_set_user_password(**pool, Username=name, Password=password, Permanent=True)
        answer = self._cognito.admin_initiate_auth(
            **pool,
            ClientId=self._stack.output(client),
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": name, "PASSWORD": password},
        )
        return f"Bearer {answer['AuthenticationResult']['IdToken']}"

    def partner(self, access: str) -> str:
        """Make a partner, and return its token as a header."""
        token = secrets.token_urlsafe(32)
        hashed = hashlib.sha256(token.encode()).hexdigest()
        item = {"token_hash": hashed, "partner": f"{access}-{self.run_id}", "access": access}
        self._dynamodb.put_item(
            TableName=self._stack.output("PartnersTableName"),
            Item={name: {"S": value} for name, value in item.items()},
        )
        self._partners.append(hashed)
        return f"Bearer {token}"

    def note(self, name: str) -> str:
        """The path of a note of this run."""
        self._notes.add(f"{self.run_id}-{name}")
        return f"/notes/{self.run_id}-{name}"

    def client(self, api: str, caller: str) -> httpx.Client:
        """An httpx client of the HTTP API or the REST API that sends a caller's Authorization header."""
        client = self._endpoints[api].client(headers={"Authorization": caller})
        client.base_url = client.base_url.join(self._urls[api].path)
        return client

    def send(
        self, api: str, method: str, path: str, caller: str = "", headers: Headers = (), body: bytes = b""
    ) -> HttpResponse:
        """Send a request to the HTTP API or the REST API, with a caller's Authorization header."""
        own = [("Authorization", caller)] if caller else []
        target = self._urls[api].path.rstrip("/") + path
        return self._endpoints[api].request(method, target, headers=[*own, *headers], body=body)

    def send_signed(self, method: str, path: str) -> HttpResponse:
        """Send a request to the HTTP API, signed with the credentials of the session."""
        session = self._stack.session
        request = AWSRequest(method, f"https://{self._endpoints['http'].host}{path}")
        request.headers["Host"] = self._endpoints["http"].host
        credentials = session.get_credentials()
        assert credentials is not None  # the session has called AWS already
        SigV4Auth(credentials, "execute-api", session.region_name).add_auth(request)
        signed = [(name, value) for name, value in request.headers.items() if name != "Host"]
        return self.send("http", method, path, headers=signed)

    def expect(self, status: int, api: str, method: str, path: str, *more: Any) -> HttpResponse:
        """Send a request whose response must have this status, and name nothing of the inside."""
        return expected(status, f"{method} {path} ({api})", self.send(api, method, path, *more))

    def put(self, api: str, status: int, path: str, caller: str, text: str) -> HttpResponse:
        """Write a note: text through the HTTP API, JSON through the REST API."""
        body = (text if api == "http" else json.dumps({"text": text})).encode()
        return self.expect(status, api, "PUT", path, caller, [TEXT if api == "http" else JSON], body)


def expected(status: int, what: str, answer: HttpResponse) -> HttpResponse:
    """Require a status, and that an error names nothing of the inside."""
    require(answer.status == status, f"{what}: {answer.status} instead of {status}: {answer.body[:300]!r}")
    if status >= 400:
        shown = answer.body.decode("utf-8", "replace").lower()
        leaked = [word for word in ("traceback", "arn:", "secret", "dynamodb", "lambda") if word in shown]
        require(not leaked, f"{what}: the {status} discloses {leaked}: {shown[:300]}")
    return answer
