"""The users of a run: their sign-up and sign-in, their profiles, and the verification of their tokens."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError
from joserfc import jwt
from joserfc.jwk import KeySet

from scenarios.framework import DeployedStack, require
from scenarios.support.endpoints import Endpoint

DOMAIN = "simulator.amazonses.com"


class Users:
    """The deployed pool and its profiles, used by one run with users of its own.

    Args:
        stack: The deployed stack.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._cognito = stack.client("cognito-idp")
        self._pool = stack.output("UserPoolId")
        self._client = stack.output("ClientId")
        self._password = f"Aa1!{uuid.uuid4().hex}"
        self._run = uuid.uuid4().hex[:10]
        self._subs: dict[str, str] = {}

    def address(self, name: str, domain: str = DOMAIN) -> str:
        """Return an email address of this run."""
        return f"success+{name}-{self._run}@{domain}"

    def sign_up(self, email: str) -> str:
        """Sign up, as a browser does; return the user's id."""
        answer = self._cognito.sign_up(
            ClientId=self._client,
            Username=email,
            Password=self._password,
            UserAttributes=[{"Name": "email", "Value": email}],
        )
        self._subs[email] = answer["UserSub"]
        return self._subs[email]

    def confirm(self, email: str) -> None:
        """Do what the code in the mail does, which only the user sees: verify the address, and confirm."""
        user = {"UserPoolId": self._pool, "Username": email}
        verified = [{"Name": "email_verified", "Value": "true"}]
        self._cognito.admin_update_user_attributes(**user, UserAttributes=verified)
        self._cognito.admin_confirm_sign_up(**user)

    def status(self, email: str) -> str:
        """Return the status of a user; empty if there is none."""
        try:
            user = self._cognito.admin_get_user(UserPoolId=self._pool, Username=email)
        except self._cognito.exceptions.UserNotFoundException:
            return ""
        status: str = user["UserStatus"]
        return status

    def sign_in(self, email: str) -> dict[str, str]:
        """Sign in, as a server does; return the tokens."""
        return self._tokens("ADMIN_USER_PASSWORD_AUTH", USERNAME=email, PASSWORD=self._password)

    def refresh(self, token: str) -> dict[str, str]:
        """Return new tokens for a refresh token."""
        return self._tokens("REFRESH_TOKEN_AUTH", REFRESH_TOKEN=token)

    def _tokens(self, flow: str, **parameters: str) -> dict[str, str]:
        answer = self._cognito.admin_initiate_auth(
            UserPoolId=self._pool, ClientId=self._client, AuthFlow=flow, AuthParameters=parameters
        )
        tokens: dict[str, str] = answer["AuthenticationResult"]
        return tokens

    def new(self, name: str) -> str:
        """Sign up and confirm a user; return the address."""
        email = self.address(name)
        self.sign_up(email)
        self.confirm(email)
        return email

    def profile(self, email: str) -> dict[str, str]:
        """Return the profile of a user; empty if there is none."""
        found = self._stack.client("dynamodb").get_item(**self._row(email), ConsistentRead=True)
        return {name: value["S"] for name, value in found.get("Item", {}).items()}

    def set_plan(self, email: str, plan: str) -> None:
        """Change the plan of a user, as a billing service does."""
        self._stack.client("dynamodb").update_item(
            **self._row(email),
            UpdateExpression="SET #plan = :plan",
            ExpressionAttributeNames={"#plan": "plan"},
            ExpressionAttributeValues={":plan": {"S": plan}},
        )

    def _row(self, email: str) -> dict[str, Any]:
        key = {"user_id": {"S": self._subs[email]}}
        return {"TableName": self._stack.output("TableName"), "Key": key}

    def confirmation(self, email: str) -> dict[str, Any]:
        """Return the event that post confirmation gets for a user, as AWS documents it."""
        return {
            "version": "1",
            "triggerSource": "PostConfirmation_ConfirmSignUp",
            "region": self._pool.partition("_")[0],
            "userPoolId": self._pool,
            "userName": self._subs[email],
            "callerContext": {"awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": self._client},
            "request": {
                "userAttributes": {
                    "sub": self._subs[email],
                    "email_verified": "true",
                    "cognito:user_status": "CONFIRMED",
                    "email": email,
                }
            },
            "response": {},
        }

    def verified(self, token: str) -> dict[str, Any]:
        """Verify a token as a service does: signature, time, issuer and app client; return its claims.

        Raises:
            JoseError: Its signature or its time is not valid.
            ScenarioFailed: It is for another pool or app client.
        """
        issuer = self._stack.output("Issuer")
        host, _, pool = issuer.removeprefix("https://").partition("/")
        answer = Endpoint.of(self._stack, f"https://{host}").request("GET", f"/{pool}/.well-known/jwks.json")
        claims = jwt.decode(token, KeySet.import_key_set(answer.json()), algorithms=["RS256"]).claims
        audience = "aud" if claims.get("token_use") == "id" else "client_id"
        jwt.JWTClaimsRegistry(exp={"essential": True}).validate(claims)
        found = claims.get("iss"), claims.get(audience)
        require(found == (issuer, self._client), f"issuer and app client of the token are {found}")
        return claims

    def close(self) -> None:
        """Delete the users of this run, and their profiles."""
        for email in self._subs:
            self._cognito.admin_delete_user(UserPoolId=self._pool, Username=email)
            self._stack.client("dynamodb").delete_item(**self._row(email))


def refusal(call: Callable[[], object]) -> str:
    """Return the code and the message of the error that a call ends with."""
    try:
        answer = call()
    except ClientError as error:
        return f"{error.response['Error']['Code']}: {error.response['Error']['Message']}"
    require(False, f"the request should have been refused; the answer was {answer}")
    return ""
