"""Takes the permission of both APIs away, sends too much, and breaks the function behind them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scenarios.framework import DeployedStack, NotYet, Outcome, Story, require, wait_until
from scenarios.support.broken_functions import archive
from scenarios.support.endpoints import HttpResponse
from scenarios.support.faults import Faults
from scenarios.support.stack_updates import StackUpdates
from scenarios.web.http_api.callers import Callers, expected

_GATEWAY = "apigateway.amazonaws.com"

# What each API answers by itself, whatever the reason is.
_INTERNAL = {"http": {"message": "Internal Server Error"}, "rest": {"message": "Internal server error"}}

_BROKEN = """
import os, time

def handler(event, context):
    match (event.get("rawPath") or event["path"]).rpartition("-")[2]:
        case "raises":
            raise RuntimeError("the secret reason")
        case "exits":
            os._exit(1)
        case "sleeps":
            time.sleep(60)
        case "malformed":
            return {"statusCode": "secret", "body": "secret"}
        case "large":
            return {"statusCode": 200, "body": "secret" * 1_100_000}
"""
_WAYS = {
    "raises": "raises an exception",
    "exits": "ends its process",
    "sleeps": "times out",
    "malformed": "returns no response",
    "large": "returns over 6 MB",
}


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Break what is in front of the function and the function itself: errors are clean, nothing is lost.

    Raises:
        ScenarioFailed: A response is not the expected one.
    """
    story = Story("Throttles, missing permissions and a broken function", stack.tell)
    with Callers(stack) as callers:
        brief = _sign_in_briefly(callers)
        _without_permission(stack, faults, callers, story)
        _without_the_authorizers_permission(stack, faults, callers, story)
        _throttle(callers, story)
        _exhaust_quota(stack, callers, story)
        _break_function(stack, callers, story)
        _expire(callers, brief, story)
    return story.outcome()


def _sign_in_briefly(callers: Callers) -> str:
    """Sign in at an app client whose tokens expire as soon as Cognito allows, which is shortened here."""

    def admitted() -> str:
        user = callers.user("BriefClientId")
        if callers.send("http", "GET", "/notes", user).status != 200:
            raise NotYet("401: it has expired already")
        return user

    return wait_until(admitted, what="a request with a token that lasts five minutes", timeout=60)


def _expire(callers: Callers, brief: str, story: Story) -> None:
    def refused() -> None:
        answer = callers.send("http", "GET", "/notes", brief)
        if answer.status == 200:
            raise NotYet("200")
        require(answer.status == 401, f"an expired token: {answer.status}")
        challenge = answer.header("www-authenticate")
        require("the token has expired" in challenge, f"www-authenticate: {challenge}")

    wait_until(refused, what="401 for an expired token", timeout=60)
    story.fact("expired token", 401)
    story.say("A token of five minutes, which are ten seconds here, is admitted, and 401 after that.")


def _without_permission(stack: DeployedStack, faults: Faults, callers: Callers, story: Story) -> None:
    """API Gateway may not invoke the function: 500, and the function is not called."""
    tokens = {"http": callers.user(), "rest": callers.partner("write")}
    with faults.not_admitting(stack.output("FunctionName"), _GATEWAY):
        for api, token in tokens.items():
            answer = callers.put(api, 500, callers.note(f"denied-{api}"), token, "x")
            require(answer.json() == _INTERNAL[api], f"the body of the 500 is {answer.body!r}")
    for api, token in tokens.items():
        callers.expect(404, api, "GET", callers.note(f"denied-{api}"), token)
    story.fact("notes written without permission", 0)
    story.say("Withdrew the permission of both APIs to invoke the function: 500, and no note was written.")


def _without_the_authorizers_permission(
    stack: DeployedStack, faults: Faults, callers: Callers, story: Story
) -> None:
    function = stack.output("AuthorizerFunctionName")
    with faults.not_admitting(function, _GATEWAY):
        callers.expect(500, "rest", "GET", callers.note("x"), callers.partner("read"))
        callers.expect(500, "http", "GET", "/health", callers.partner("read"))
    with faults.without_permission(faults.role_of(function), "dynamodb:GetItem"):
        callers.expect(500, "rest", "GET", callers.note("x"), callers.partner("read"))
        callers.expect(500, "http", "GET", "/health", callers.partner("read"))
    story.fact("admitted without authorizer", 0)
    story.say("The authorizer cannot be invoked, or cannot read its table: 500. No caller is admitted.")


def _throttle(callers: Callers, story: Story) -> None:
    """The route has a burst of 5 and one request per second."""
    user = callers.user()

    def send() -> HttpResponse:
        return callers.send("http", "PUT", "/preferences?limit=5", user)

    started = time.monotonic()
    answers = [send() for _ in range(20)]
    refilled = int(time.monotonic() - started) + 1
    statuses = Counter(answer.status for answer in answers)
    require(5 <= statuses[204] <= 5 + refilled, f"with a burst of 5: {statuses}")
    require(statuses[429] == 20 - statuses[204], f"with a burst of 5: {statuses}")
    (limited,) = {answer.body for answer in answers if answer.status == 429}
    require(limited == b'{"message":"Too Many Requests"}', f"the body of the 429 is {limited!r}")

    def admitted() -> None:
        if send().status != 204:
            raise NotYet("429")

    wait_until(admitted, what="the next request per second", timeout=60)
    callers.expect(200, "http", "GET", "/notes", user)
    story.fact("throttled", "429")
    story.say(
        "20 requests at once to a route with a burst of 5 and one per second: the rest are 429. A second "
        "later the next one is admitted; other routes are not affected."
    )


def _exhaust_quota(stack: DeployedStack, callers: Callers, story: Story) -> None:
    """A new key, as its usage is counted from here on, in a plan with a quota of three requests."""
    client, plan = stack.client("apigateway"), stack.output("UsagePlanId")
    before = client.get_usage_plan(usagePlanId=plan)["quota"]["limit"]
    key = client.create_api_key(name=callers.run_id, enabled=True)

    def limit(requests: int) -> None:
        operation = {"op": "replace", "path": "/quota/limit", "value": str(requests)}
        client.update_usage_plan(usagePlanId=plan, patchOperations=[operation])

    try:
        client.create_usage_plan_key(usagePlanId=plan, keyId=key["id"], keyType="API_KEY")
        limit(3)
        request = (
            "GET",
            f"/notes?tag={callers.run_id}",
            callers.partner("read"),
            [("x-api-key", key["value"])],
        )
        statuses = [callers.send("rest", *request).status for _ in range(5)]
        require(statuses == [200, 200, 200, 429, 429], f"with a quota of 3: {statuses}")
        refused = callers.expect(429, "rest", *request)
        require(refused.json() == {"message": "Limit Exceeded"}, f"the body of the 429 is {refused.body!r}")
    finally:
        limit(before)
        client.delete_api_key(apiKey=key["id"])
    story.fact("requests within the quota", statuses.count(200))
    story.say("A key with a quota of 3 requests: three are answered, the others are 429.")


def _break_function(stack: DeployedStack, callers: Callers, story: Story) -> None:
    user, partner = callers.user(), callers.partner("write")
    path = callers.note("whole")
    callers.put("http", 201, path, user, "x")
    with _broken(stack):
        for way in _WAYS:
            for api, status, token in (("http", 500, user), ("rest", 502, partner)):
                answer = expected(
                    status, f"{way} ({api})", callers.send(api, "GET", callers.note(way), token)
                )
                require(answer.json() == _INTERNAL[api], f"{way}: the body is {answer.body!r}")
    require(callers.expect(200, "http", "GET", path, user).body == b"x", "the note is another one")
    story.fact("ways to break the function", len(_WAYS))
    story.say(f"A function that {', '.join(_WAYS.values())}: 500 from the HTTP API, 502 from the REST API.")


@contextmanager
def _broken(stack: DeployedStack) -> Iterator[None]:
    """Replace the code of the function by a broken one, with a timeout of a second."""
    client, function = stack.client("lambda"), {"FunctionName": stack.output("FunctionName")}
    configuration = client.get_function_configuration(**function)

    def change(code: dict[str, Any], handler: str, timeout: int) -> None:
        client.update_function_code(**function, **code)
        client.get_waiter("function_updated_v2").wait(**function)
        client.update_function_configuration(**function, Handler=handler, Timeout=timeout)
        client.get_waiter("function_updated_v2").wait(**function)

    whole = StackUpdates(stack).code_of(function["FunctionName"])
    try:
        change({"ZipFile": archive(_BROKEN)}, "index.handler", 1)
        yield
    finally:
        change(whole, configuration["Handler"], configuration["Timeout"])
