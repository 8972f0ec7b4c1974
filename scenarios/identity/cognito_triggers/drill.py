"""Lets each trigger fail: without permission, with an error, twice, and too slowly."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

from scenarios.framework import DeployedStack, Outcome, Story, require
from scenarios.identity.cognito_triggers.users import Users, refusal
from scenarios.support.faults import Faults

_COGNITO = "cognito-idp.amazonaws.com"


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
