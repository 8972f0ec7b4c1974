"""Signs users up and in, verifies their tokens with the keys of the pool, and lets each trigger fail."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from botocore.exceptions import ClientError
from joserfc.errors import JoseError
from joserfc.util import json_b64decode, json_b64encode

from scenarios.framework import BilledEvent, Covered, DeployedStack, Outcome, Story, require
from scenarios.identity.cognito_triggers.drill import drill
from scenarios.identity.cognito_triggers.users import DOMAIN, Users, refusal
from scenarios.support.leftovers import in_tables

__all__ = ["ACCEPTED_NOT_EMULATED", "EVENT", "ROLES", "Users", "drill", "leftovers", "run"]

# What the embedded AWS accepts but does not emulate, and why the scenario is still a proof.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}


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
        require(found == (plan, DOMAIN), f"plan and tenant in the {kind} are {found}")


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


EVENT = BilledEvent(
    "a user signs up and signs in", smoke, also={"Cognito monthly active users (Essentials)": 1}
)

ROLES = tuple(
    Covered(f"{trigger}FunctionName", smoke)
    for trigger in ("PreSignUp", "PostConfirmation", "PostAuthentication", "PreTokenGeneration")
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the users and profiles that a run or a drill left behind."""
    users = stack.client("cognito-idp").list_users(UserPoolId=stack.output("UserPoolId"))["Users"]
    return [f"user: {user['Username']}" for user in users] + in_tables(stack)
