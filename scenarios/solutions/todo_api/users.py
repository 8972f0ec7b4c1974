"""The users of a run: their tokens, their requests to the API, and their credentials for the bucket."""

from __future__ import annotations

import json
import secrets
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from scenarios.framework import DeployedStack, require
from scenarios.support.endpoints import Endpoint, HttpResponse


@dataclass(frozen=True)
class User:
    """A user who has signed in.

    Args:
        name: The user name.
        id: The id in the user pool, the owner of the notes.
        tokens: The tokens, by their names: ``IdToken``.
    """

    name: str
    id: str
    tokens: Mapping[str, str]


@dataclass(frozen=True)
class Files:
    """What a user may do in S3.

    Args:
        identity: The id in the identity pool, the first part of the user's keys.
        credentials: The user's credentials, as arguments of a client.
        client: A client of S3 with them.
    """

    identity: str
    credentials: Mapping[str, Any]
    client: Any


class Users:
    """Users of one run; what they made is deleted when the ``with`` block ends.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.run_id = uuid.uuid4().hex[:8]
        self._stack = stack
        self._cognito, self._identity = stack.client("cognito-idp"), stack.client("cognito-identity")
        self._url = urlsplit(stack.output("Url"))
        self._endpoint = Endpoint.of(stack, f"{self._url.scheme}://{self._url.netloc}")
        self._passwords: dict[str, str] = {}
        self._ids: set[str] = set()
        self._identities: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        table, bucket = self._stack.output("NotesTableName"), self._stack.output("BucketName")
        dynamodb, s3 = self._stack.client("dynamodb"), self._stack.client("s3")
        for item in dynamodb.scan(TableName=table, ConsistentRead=True)["Items"]:
            if item["kind"]["S"] in self._ids:
                dynamodb.delete_item(TableName=table, Key={"name": item["name"]})
        for identity in self._identities:
            for found in s3.list_objects_v2(Bucket=bucket, Prefix=f"{identity}/").get("Contents", []):
                s3.delete_object(Bucket=bucket, Key=found["Key"])
        if self._identities:
            self._identity.delete_identities(IdentityIdsToDelete=list(self._identities))
        for name in self._passwords:
            self._cognito.admin_delete_user(UserPoolId=self._stack.output("UserPoolId"), Username=name)

    def sign_in(self, name: str, client: str = "ClientId") -> User:
        """Sign in at an app client, as a new user if there is none of this name."""
        name, pool = f"{self.run_id}-{name}", {"UserPoolId": self._stack.output("UserPoolId")}
        if name not in self._passwords:
            self._cognito.admin_create_user(**pool, Username=name, MessageAction="SUPPRESS")
            self._passwords[name] = f"Aa1!{secrets.token_hex(12)}"
            self._cognito.admin_set_user_password(
                **pool, Username=name, Password=self._passwords[name], Permanent=True
            )
        answer = self._cognito.admin_initiate_auth(
            **pool,
            ClientId=self._stack.output(client),
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": name, "PASSWORD": self._passwords[name]},
        )
        found = self._cognito.admin_get_user(**pool, Username=name)["UserAttributes"]
        (own,) = [one["Value"] for one in found if one["Name"] == "sub"]
        self._ids.add(own)
        return User(name, own, answer["AuthenticationResult"])

    def send(self, token: str, method: str, path: str, text: str = "") -> HttpResponse:
        """Send a request with a token, or without one if it is empty."""
        headers = [("Authorization", f"Bearer {token}")] if token else []
        headers += [("Content-Type", "text/plain")] if text else []
        target = self._url.path.rstrip("/") + path
        return self._endpoint.request(method, target, headers=headers, body=text.encode())

    def expect(self, status: int, user: User | str, method: str, path: str, text: str = "") -> HttpResponse:
        """Send a request whose response must have this status."""
        token = user if isinstance(user, str) else user.tokens["IdToken"]
        answer = self.send(token, method, path, text)
        require(answer.status == status, f"{method} {path}: {answer.status}, not {status}: {answer.body!r}")
        return answer

    def read(self, user: User, path: str) -> str:
        """Read a note."""
        return self.expect(200, user, "GET", path).body.decode()

    def names(self, user: User) -> list[str]:
        """List the names of a user's notes."""
        return [note["name"] for note in json.loads(self.expect(200, user, "GET", "/notes").body)["notes"]]

    def files(self, user: User) -> Files:
        """Get credentials for a user's token, as a mobile client does: both calls are unsigned.

        Raises:
            ClientError: The identity pool refuses the token.
        """
        logins = {self._stack.output("UserPoolProvider"): user.tokens["IdToken"]}
        pool = self._stack.output("IdentityPoolId")
        identity = self._identity.get_id(IdentityPoolId=pool, Logins=logins)["IdentityId"]
        self._identities.add(identity)
        given = self._identity.get_credentials_for_identity(IdentityId=identity, Logins=logins)["Credentials"]
        credentials: dict[str, Any] = {
            "aws_access_key_id": given["AccessKeyId"],
            "aws_secret_access_key": given["SecretKey"],
            "aws_session_token": given["SessionToken"],
        }
        return Files(identity, credentials, self._stack.session.client("s3", **credentials))


def refusal(call: Callable[[], Any]) -> str:
    """Return the code of the error of a call; empty if it succeeds."""
    try:
        call()
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""
