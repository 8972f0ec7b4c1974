"""Signs users up and in, verifies their tokens with the keys of the pool, and lets each trigger fail."""

from __future__ import annotations

import json
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from botocore.exceptions import ClientError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.util import json_b64decode, json_b64encode

from scenarios.framework import Covered, DeployedStack, Outcome, Story, require
from scenarios.support.endpoints import Endpoint
from scenarios.support.faults import Faults
from scenarios.support.leftovers import in_tables

# What the embedded AWS accepts but does not emulate, and why the scenario is still a proof.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_COGNITO = "cognito-idp.amazonaws.com"
_DOMAIN = "simulator.amazonses.com"


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

    def address(self, name: str, domain: str = _DOMAIN) -> str:
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
        """Verify a token as a service does: signature, issuer, app client and time; return its claims.

        Raises:
            JoseError: It is not valid.
        """
        issuer = self._stack.output("Issuer")
        host, _, pool = issuer.removeprefix("https://").partition("/")
        answer = Endpoint.of(self._stack, f"https://{host}").request("GET", f"/{pool}/.well-known/jwks.json")
        claims = jwt.decode(token, KeySet.import_key_set(answer.json()), algorithms=["RS256"]).claims
        audience = "aud" if claims.get("token_use") == "id" else "client_id"
        rules: dict[str, Any] = {"iss": {"essential": True, "value": issuer}, "exp": {"essential": True}}
        jwt.JWTClaimsRegistry(**rules, **{audience: {"essential": True, "value": self._client}}).validate(
            claims
        )
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


def run(stack: DeployedStack) -> Outcome:
    """Only some domains sign up; a user gets one profile, and tokens with plan and tenant.

    Raises:
        ScenarioFailed: A check failed.
    """
    story = Story("Triggers decide who signs up, and what tokens say", stack.tell)
    with closing(Users(stack)) as users:
        stranger = users.address("eve", "example.net")
        refused = refusal(lambda: users.sign_up(stranger))
        require(
            refused == "UserLambdaValidationException: PreSignUp failed with error "
            "Addresses of example.net cannot sign up here.",
            f"another domain was answered with {refused}",
        )
        require(users.status(stranger) == "", "the refused user exists")
        story.fact("refused", 1)
        story.say(f"Signed up from another domain: {refused}")
        with story.timed("sign-up and confirmation"):
            email = users.new("ann")
        created = users.profile(email)
        require(created.get("plan") == "free" and "last_login" not in created, f"the profile is {created}")
        story.say(
            "Signed up and confirmed an address of an allowed domain: it has a profile with plan 'free'."
        )
        with story.timed("sign-in"):
            tokens = users.sign_in(email)
        require("last_login" in users.profile(email), f"the login is not in the profile: {created}")
        _check_tokens(users, tokens, "free")
        story.say("Signed in: both tokens, verified with the keys of the pool, have the plan and the tenant.")
        forged = _forged(tokens["AccessToken"])
        try:
            users.verified(forged)
        except JoseError as error:
            story.say(f"Changed the plan in a token: its signature is not valid any more ({error.error}).")
        else:
            require(False, "a token with another plan was accepted")
        users.set_plan(email, "pro")
        _check_tokens(users, users.refresh(tokens["RefreshToken"]), "pro")
        story.fact("verified_tokens", 4)
        story.say("Changed the plan in the table, and refreshed the tokens: they have the new one.")
    return story.outcome()


def _check_tokens(users: Users, tokens: Mapping[str, str], plan: str) -> None:
    for kind in ("IdToken", "AccessToken"):
        claims = users.verified(tokens[kind])
        found = claims.get("plan"), claims.get("tenant")
        require(found == (plan, _DOMAIN), f"plan and tenant in the {kind} are {found}")


def _forged(token: str) -> str:
    """Return a token with another plan, and its old signature."""
    header, claims, signature = token.split(".")
    changed = json_b64encode({**json_b64decode(claims.encode()), "plan": "pro"})
    return ".".join((header, changed.decode(), signature))


def smoke(stack: DeployedStack) -> None:
    """Exercise each permission once.

    Raises:
        ScenarioFailed: A trigger failed.
    """
    with closing(Users(stack)) as users:
        try:
            email = users.new("kim")
            require(users.profile(email).get("plan") == "free", "post confirmation created no profile")
            users.sign_in(email)
        except ClientError as error:
            require(False, f"a trigger failed: {error}")
        require("last_login" in users.profile(email), "the login was not recorded")


ROLES = tuple(
    Covered(f"{trigger}FunctionName", smoke)
    for trigger in ("PreSignUp", "PostConfirmation", "PostAuthentication", "PreTokenGeneration")
)


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Each trigger fails in its way: it denies the sign-up, or the sign-in, or nothing.

    Raises:
        ScenarioFailed: A check failed.
    """
    story = Story("A trigger that fails denies the user, unless its handler decides otherwise", stack.tell)
    with closing(Users(stack)) as users:
        _drill_permission(stack, faults, users, story)
        email = _drill_confirmation(stack, faults, users, story)
        _drill_repeated_event(stack, users, email, story)
        _drill_sign_in(stack, faults, users, email, story)
        _drill_slow_trigger(stack, faults, users, email, story)
        users.verified(users.sign_in(email)["IdToken"])
        story.say("With everything restored, signing in works.")
    return story.outcome()


def _drill_permission(stack: DeployedStack, faults: Faults, users: Users, story: Story) -> None:
    email = users.address("without-permission")
    with faults.not_admitting(stack.output("PreSignUpFunctionName"), _COGNITO):
        denied = refusal(lambda: users.sign_up(email))
    require(
        denied
        == "UnexpectedLambdaException: PreSignUp invocation failed due to error AccessDeniedException.",
        f"without permission the sign-up was answered with {denied}",
    )
    require(users.status(email) == "", "the user exists although the trigger was not invoked")
    story.fact("users_without_trigger", 0)
    story.say(f"Withdrew Cognito's permission to invoke the function: {denied}")


def _drill_confirmation(stack: DeployedStack, faults: Faults, users: Users, story: Story) -> str:
    email = users.address("without-profile")
    users.sign_up(email)
    with faults.without_permission(_role(stack, faults, "PostConfirmation"), "dynamodb:PutItem"):
        denied = refusal(lambda: users.confirm(email))
    require(users.status(email) == "CONFIRMED", f"the user is {users.status(email)}")
    require("AccessDenied" not in denied and not users.profile(email), f"the user saw: {denied}")
    story.say(f"Post confirmation may not write: {denied} The user is confirmed, without a profile.")
    users.sign_in(email)
    require(users.profile(email).get("plan") == "free", "the first login created no profile")
    story.fact("profiles_after_login", 1)
    story.say("The first login created the profile.")
    return email


def _drill_repeated_event(stack: DeployedStack, users: Users, email: str, story: Story) -> None:
    users.set_plan(email, "pro")
    before = users.profile(email)
    for _ in range(2):
        answer = stack.client("lambda").invoke(
            FunctionName=stack.output("PostConfirmationFunctionName"),
            Payload=json.dumps(users.confirmation(email)),
        )
        require("FunctionError" not in answer, f"the repeated event failed: {answer['Payload'].read()}")
    require(users.profile(email) == before, f"a repeated event changed {before} to {users.profile(email)}")
    story.fact("repeated_events", 2)
    story.say(
        "Delivered the event of the confirmation twice more: the profile is as it was, with its new plan."
    )


def _drill_sign_in(stack: DeployedStack, faults: Faults, users: Users, email: str, story: Story) -> None:
    before = users.profile(email)
    with faults.without_permission(_role(stack, faults, "PostAuthentication"), "dynamodb:UpdateItem"):
        users.sign_in(email)
    require(users.profile(email) == before, "the login was recorded without permission")
    story.fact("logins_without_record", 1)
    story.say("The last login cannot be written: that is in the log, and the user is signed in.")
    with faults.without_permission(_role(stack, faults, "PreTokenGeneration"), "dynamodb:GetItem"):
        denied = refusal(lambda: users.sign_in(email))
    require(denied.startswith("UserLambdaValidationException: PreTokenGeneration failed"), denied)
    require("AccessDenied" not in denied, f"the user saw: {denied}")
    story.fact("tokens_without_plan", 0)
    story.say(f"The plan cannot be read: no tokens. The user sees: {denied}")


def _drill_slow_trigger(stack: DeployedStack, faults: Faults, users: Users, email: str, story: Story) -> None:
    function = stack.output("PreTokenGenerationFunctionName")
    with _hanging_server() as url, faults.environment(function, AWS_ENDPOINT_URL_DYNAMODB=url):
        with story.timed("a table that does not answer"):
            denied = refusal(lambda: users.sign_in(email))
        require("try again later" in denied, f"a table that does not answer was answered with {denied}")
        story.say(f"DynamoDB does not answer: the handler stops within Cognito's five seconds: {denied}")
        with _timeout(stack, function, 1):
            denied = refusal(lambda: users.sign_in(email))
        require("Task timed out after 1.00 seconds" in denied, f"a slow trigger was answered with {denied}")
    story.fact("tokens_of_slow_triggers", 0)
    story.say("The function is slower than its timeout (one second here instead of five): no tokens either.")


def _role(stack: DeployedStack, faults: Faults, trigger: str) -> str:
    return faults.role_of(stack.output(f"{trigger}FunctionName"))


@contextmanager
def _hanging_server() -> Iterator[str]:
    """Accept connections, and answer nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def _timeout(stack: DeployedStack, function: str, seconds: int) -> Iterator[None]:
    """Change the timeout of a function while the body runs."""
    client = stack.client("lambda")
    before = client.get_function_configuration(FunctionName=function)["Timeout"]
    client.update_function_configuration(FunctionName=function, Timeout=seconds)
    try:
        yield
    finally:
        client.update_function_configuration(FunctionName=function, Timeout=before)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the users and profiles that a run or a drill left behind."""
    users = stack.client("cognito-idp").list_users(UserPoolId=stack.output("UserPoolId"))["Users"]
    return [f"user: {user['Username']}" for user in users] + in_tables(stack)
