"""Calls both APIs as users, partners and operators do, and as those do who may not."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.leftovers import in_tables
from scenarios.web.http_api.callers import JSON, TEXT, Callers, expected
from scenarios.web.http_api.failures import drill

__all__ = ["ACCEPTED_NOT_EMULATED", "EVENT", "ROLES", "Callers", "drill", "leftovers", "run", "smoke"]

# What the embedded AWS accepts but does not emulate, and why the scenario proves its facts all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

_PAGE = "https://notes.example.com"


def run(stack: DeployedStack) -> Outcome:
    """Call both APIs, with and without what each asks for.

    Raises:
        ScenarioFailed: A response is not the expected one.
    """
    story = Story("One service behind an HTTP API and a REST API", stack.tell)
    with Callers(stack) as callers:
        _check_users(callers, story)
        _check_browser(callers, story)
        _check_operators(callers, story)
        _check_partners(callers, story)
        _check_validation(callers, story)
        _check_keys(stack, callers, story)
        with story.timed("cache"):
            _check_cache(stack, callers, story)
        _check_access_logs(stack, callers, story)
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Use each permission of both functions once.

    Raises:
        ScenarioFailed: A response is not the expected one.
    """
    with Callers(stack) as callers:
        user, path = callers.user(), callers.note("smoke")
        callers.put("http", 201, path, user, "smoke")
        callers.expect(200, "http", "GET", path, user)
        callers.expect(200, "http", "GET", "/notes", user)
        callers.expect(204, "rest", "DELETE", path, callers.partner("write"))


def three_requests(stack: DeployedStack) -> None:
    """Write and read a note with the HTTP API, and delete it with the REST API."""
    with Callers(stack) as callers:
        user, path = callers.user(), callers.note("event")
        callers.put("http", 201, path, user, "event")
        callers.expect(200, "http", "GET", path, user)
        callers.expect(204, "rest", "DELETE", path, callers.partner("write"))


EVENT = BilledEvent("three requests: a note is written, read and deleted", three_requests)

ROLES: tuple[Covered, ...] = (
    Covered("FunctionName", smoke),
    Covered("AuthorizerFunctionName", smoke),
)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the notes, partners and users that a run or a drill left behind."""
    users = stack.client("cognito-idp").list_users(UserPoolId=stack.output("UserPoolId"))["Users"]
    return [*in_tables(stack), *(f"user: {user['Username']}" for user in users)]


def _check_users(callers: Callers, story: Story) -> None:
    user, path, text = callers.user(), callers.note("user"), "Grüße, " * 200
    with callers.client("http", user) as http, callers.client("rest", callers.partner("read")) as rest:
        made = http.put(path, content=text, headers=dict([TEXT]))
        require(made.status_code == 201, f"httpx got {made.status_code} for a new note: {made.text[:300]}")
        require(http.get(path).text == text, "other text came back over the HTTP API")
        seen = rest.get(path)
        require(seen.text == text, f"other text came back over the REST API: {seen.text[:300]}")
        require(seen.headers.get("content-encoding") == "gzip", f"it is not compressed: {seen.headers}")
    header, claims, signature = user.split(".")
    changed = {**json.loads(base64.urlsafe_b64decode(claims + "==")), "sub": "another-user"}
    forged = base64.urlsafe_b64encode(json.dumps(changed).encode()).decode().rstrip("=")
    refused = {
        "no token": "",
        "a token with changed claims": f"{header}.{forged}.{signature}",
        "a token without signature": f"{header}.{claims}.",
        "a token for another app client": callers.user("OtherClientId"),
        "a partner's token": callers.partner("write"),
    }
    for token in refused.values():
        answer = callers.expect(401, "http", "GET", path, token)
        require(answer.json() == {"message": "Unauthorized"}, f"the body of the 401 is {answer.body!r}")
    story.fact("refused tokens", len(refused))
    story.say("httpx writes a user's note over the HTTP API, and reads it compressed over the REST API.")
    story.say(f"401 for {', '.join(refused)}.")


def _check_browser(callers: Callers, story: Story) -> None:
    """A browser asks before it sends a request of a page of another origin."""
    asked = [("Access-Control-Request-Method", "PUT"), ("Access-Control-Request-Headers", "authorization")]
    allowed = callers.send("http", "OPTIONS", callers.note("page"), "", [("Origin", _PAGE), *asked])
    require(allowed.status == 204, f"the preflight request was answered with {allowed.status}")
    require(allowed.header("access-control-allow-origin") == _PAGE, f"headers: {allowed.headers}")
    other = callers.send("http", "OPTIONS", "/notes/x", "", [("Origin", "https://example.org"), *asked])
    require(not other.lines("access-control-allow-origin"), f"another origin is allowed: {other.headers}")
    answer = callers.expect(200, "http", "GET", "/notes", callers.user(), [("Origin", _PAGE)])
    require(answer.header("access-control-allow-origin") == _PAGE, f"headers: {answer.headers}")
    story.fact("preflight", allowed.status)
    story.say("A browser's preflight request needs no token: 204 for our page, nothing for another origin.")


def _check_operators(callers: Callers, story: Story) -> None:
    path = callers.note("operator")
    callers.put("http", 201, path, callers.user(), "x")
    callers.expect(403, "http", "DELETE", path)
    callers.expect(403, "http", "DELETE", path, callers.user())
    expected(204, "signed DELETE", callers.send_signed("DELETE", path))
    story.fact("deleted by", "IAM")
    story.say(
        "Only a signed request (IAM) deletes a note: 403 without a signature, also with a user's token."
    )


def _check_partners(callers: Callers, story: Story) -> None:
    reader, writer, path = callers.partner("read"), callers.partner("write"), callers.note("partner")
    callers.put("rest", 201, path, writer, "x")
    callers.expect(200, "rest", "GET", path, reader)
    callers.put("rest", 403, path, reader, "y")
    for token in ("", "Bearer unknown", callers.user()):
        callers.expect(401, "rest", "GET", path, token)
    callers.expect(200, "http", "GET", "/health", reader)
    callers.expect(403, "http", "GET", "/health", "Bearer unknown")
    callers.expect(401, "http", "GET", "/health")
    story.fact("partner without write access", 403)
    story.say("Partners over the REST API: one may write, one gets 403 for that, unknown tokens get 401.")


def _check_validation(callers: Callers, story: Story) -> None:
    writer, path = callers.partner("write"), callers.note("invalid")
    bodies = [
        b'{"text": 5}',
        b'{"text": "x", "stars": 6}',
        b'{"stars": 1}',
        b'{"text": "x", "more": 1}',
        b"{",
    ]
    for body in bodies:
        for kind in (JSON, TEXT):
            answer = callers.expect(400, "rest", "PUT", path, writer, [kind], body)
            require(b"detail" in answer.body, f"the body of the 400 is {answer.body!r}")
    callers.expect(404, "rest", "GET", path, writer)
    story.fact("invalid bodies", len(bodies))
    story.say(f"{len(bodies)} bodies that the JSON schema does not allow: 400, and the function saw none.")


def _check_keys(stack: DeployedStack, callers: Callers, story: Story) -> None:
    reader, path = callers.partner("read"), f"/notes?tag={callers.run_id}"
    keys = stack.client("apigateway")
    key = keys.get_api_key(apiKey=stack.output("ApiKeyId"), includeValue=True)["value"]
    for given in ([], [("x-api-key", "unknown")]):
        callers.expect(403, "rest", "GET", path, reader, given)
    callers.expect(400, "rest", "GET", "/notes", reader, [("x-api-key", key)])
    callers.expect(200, "rest", "GET", path, reader, [("x-api-key", key)])
    callers.expect(401, "rest", "GET", path, "", [("x-api-key", key)])
    story.fact("without API key", 403)
    story.say("Lists need the API key of a usage plan: 403 without it, and 401 with nothing but it.")


def _check_cache(stack: DeployedStack, callers: Callers, story: Story) -> None:
    """The stage caches for a minute, by path and token."""
    writer = callers.partner("write")

    def check() -> str:
        first, second = callers.partner("read"), callers.partner("read")
        path = callers.note(f"cached-{time.monotonic_ns()}")
        callers.put("rest", 201, path, writer, "old")
        callers.expect(200, "rest", "GET", path, first)
        callers.put("rest", 204, path, writer, "new")
        seen = [callers.expect(200, "rest", "GET", path, one).json()["text"] for one in (first, second)]
        if seen[0] != "old":
            raise NotYet("the first partner got a fresh response: it had expired, or there is no cache")
        require(seen[1] == "new", f"the second partner got {seen[1]!r}, which the first one had asked for")

        def expired() -> None:
            if callers.expect(200, "rest", "GET", path, first).json()["text"] != "new":
                raise NotYet("the cached response")

        stack.wait_until(expired, "a fresh response")
        return "old"

    story.fact("cached response", stack.wait_until(check, "a cached response"))
    story.say(
        "A partner reads a note twice, and another writes it in between: the second response is from the "
        "cache. A third partner gets a fresh one: the key holds the token. A minute later it has expired."
    )


def _check_access_logs(stack: DeployedStack, callers: Callers, story: Story) -> None:
    ids = {
        "http": callers.expect(401, "http", "GET", "/notes").header("apigw-requestid"),
        "rest": callers.expect(401, "rest", "GET", "/notes/x").header("x-amzn-requestid"),
    }
    for api, request_id in ids.items():

        def check(api: str = api, request_id: str = request_id) -> None:
            group = stack.output(f"{api.title()}AccessLogName")
            found = stack.client("logs").filter_log_events(
                logGroupName=group, filterPattern=f'"{request_id}"'
            )
            lines = [json.loads(event["message"]) for event in found["events"]]
            if [line["status"] for line in lines if line["requestId"] == request_id] != ["401"]:
                raise NotYet(f"none of {len(lines)} lines is that of {request_id}")

        stack.wait_until(check, f"the line of a request in the access log of the {api} API")
    story.fact("access logs", len(ids))
    story.say("Both access logs have a line of JSON for a refused request, with the id that the client got.")
