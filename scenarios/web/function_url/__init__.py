"""Reads, writes and is refused at two function URLs, and takes each permission away once."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from botocore.exceptions import ClientError

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support import leftovers as left
from scenarios.support.broken_functions import PREFIX
from scenarios.support.faults import Faults
from scenarios.support.other_account import assume
from scenarios.web.function_url.broken_function import break_the_function
from scenarios.web.function_url.client import BINARY, TEXT, Client, Notes
from scenarios.web.function_url.permissions import take_permissions_away

# Properties that the embedded AWS ignores, with the reason why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

# What a URL cannot contain as it is: a space, a slash, a percent sign, characters outside ASCII.
_NAME = "café ☕ 100 % + 1/2 𝄞"
_MB = 1_000_000


def run(stack: DeployedStack) -> Outcome:
    """Everybody reads, signed callers write, and each is refused the rest.

    Raises:
        ScenarioFailed: A response is not the expected one.
    """
    story = Story("A notes service with two function URLs", stack.tell)
    with closing(Notes(stack)) as notes:
        _wait_until_reachable(stack, notes)
        _write_and_read(notes, story)
        _refuse(stack, notes, story)
        _preflight(notes.public, story)
        _send_large_bodies(notes, story)
    return story.outcome()


def _wait_until_reachable(stack: DeployedStack, notes: Notes) -> None:
    def check() -> None:
        statuses = [client.send("GET", "/health").status for client in (notes.public, notes.editor)]
        if statuses != [200, 200]:
            raise NotYet(f"statuses {statuses}")

    stack.wait_until(check, "GET /health at both URLs")


def _write_and_read(notes: Notes, story: Story) -> None:
    path, text = notes.path(_NAME), "Grüße\r\n\tand \0".encode()
    made = notes.editor.expect(201, "PUT", path, {**TEXT, "Note-Tag": f"{notes.run_id}, %C3%A9t%C3%A9"}, text)
    require(made.header("location") == path, f"Location is {made.header('location')}, not {path}")
    read = notes.public.expect(200, "GET", path)
    require(read.body == text, f"the text came back as {read.body!r}")
    require(
        sorted(read.header("note-tag").split(", ")) == sorted([notes.run_id, "%C3%A9t%C3%A9"]), "its tags"
    )
    binary = bytes(range(256)) * 400
    notes.editor.expect(204, "PUT", path, BINARY, binary)
    require(notes.public.expect(200, "GET", path).body == binary, "the bytes came back changed")
    require(notes.public.expect(200, "HEAD", path).body == b"", "HEAD has a body")
    cookies = notes.editor.expect(204, "PUT", "/preferences?limit=2&sort=oldest").lines("set-cookie")
    require(len(cookies) == 2, f"cookies: {cookies}")
    sent_back = "; ".join(cookie.partition(";")[0] for cookie in cookies)
    notes.public.expect(200, "GET", f"/notes?tag={notes.run_id}&tag=a", {"Cookie": sent_back})
    story.say(f"The editor stored {_NAME!r} with a signed request; everybody reads text, bytes and tags.")


def _refuse(stack: DeployedStack, notes: Notes, story: Story) -> None:
    refused = notes.public.expect(403, "PUT", notes.path("unsigned"), TEXT, b"x").json()
    require("signature" in refused["detail"], f"an unsigned write: {refused}")
    story.say(f"An unsigned write: 403 from the function, {refused['detail']!r}.")
    Client(stack, stack.output("SignedUrl")).expect_forbidden()
    mine = assume(stack, stack.output("EditorRoleArn"))
    forged = {**mine, "aws_secret_access_key": mine["aws_secret_access_key"].swapcase()}
    answer = notes.signed_by(stack, forged).expect(403, "GET", "/health")
    require("signature" in answer.body.decode().lower(), f"a forged signature: {answer.body!r}")
    story.say("No signature, or one with a wrong key: 403 from Lambda.")
    try:
        stack.session.client("lambda", **mine).invoke(FunctionName=stack.output("SignedAliasArn"))
        seen = "invoked"
    except ClientError as error:
        seen = error.response["Error"]["Code"]
    require(seen == "AccessDeniedException", f"the editor invoked the function without the URL: {seen}")
    story.say(
        "The editor may call the URL, and not invoke the function in another way: AccessDeniedException."
    )
    story.fact("Invoke by the editor", seen)


def _preflight(public: Client, story: Story) -> None:
    """What a browser asks before a script of another origin may read."""
    ask = {"Origin": "https://example.com", "Access-Control-Request-Method": "GET"}
    allowed = public.expect(200, "OPTIONS", "/notes", ask)
    require(allowed.header("access-control-allow-origin") == ask["Origin"], f"preflight: {allowed.headers}")
    other = public.expect(200, "OPTIONS", "/notes", {**ask, "Origin": "https://example.org"})
    require(not other.lines("access-control-allow-origin"), f"another origin: {other.headers}")
    read = public.expect(200, "GET", "/health", {"Origin": ask["Origin"]})
    require(read.header("access-control-expose-headers") == "Note-Tag", f"response: {read.headers}")
    story.fact("preflight", allowed.header("access-control-allow-methods"))
    story.say("Lambda answers preflights: the page of https://example.com may read, others get no headers.")


def _send_large_bodies(notes: Notes, story: Story) -> None:
    path, text = notes.path("large"), b"".join(b"%08d\n" % number for number in range(_MB // 9))
    notes.editor.expect(201, "PUT", path, TEXT, text)
    require(notes.public.expect(200, "GET", path).body == text, "a megabyte of text came back changed")
    refused = notes.editor.expect(413, "PUT", path, BINARY, bytes(5 * _MB))
    require("smaller than" in refused.json().get("Message", ""), f"413 is not from Lambda: {refused.body!r}")
    story.fact("largest text", len(text))
    story.say("1 MB of text comes back; 5 MB of bytes are over 6 MB as base64 in the event: 413 from Lambda.")


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Take each permission away, throttle, and break the function: nothing of the inside gets out.

    Raises:
        ScenarioFailed: A response is not the expected one.
    """
    story = Story("Without permission, capacity or a working function", stack.tell)
    with closing(Notes(stack)) as notes:
        take_permissions_away(stack, faults, notes, story)
        _throttle(stack, notes, story)
        break_the_function(stack, story)
    return story.outcome()


def _throttle(stack: DeployedStack, notes: Notes, story: Story) -> None:
    client, function = stack.client("lambda"), stack.output("FunctionName")
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    try:
        for url in (notes.public, notes.editor):
            url.expect(429, "GET", "/health")
    finally:
        client.delete_function_concurrency(FunctionName=function)
    notes.public.expect(200, "GET", "/health")
    story.say("Reserved concurrency 0 turns both URLs off: 429, and on again.")


def smoke(stack: DeployedStack) -> None:
    """Use each permission of the function once.

    Raises:
        ScenarioFailed: A response is not the expected one.
    """
    with closing(Notes(stack)) as notes:
        path = notes.path("smoke")
        notes.editor.expect(201, "PUT", path, {**TEXT, "Note-Tag": notes.run_id}, b"smoke")
        notes.public.expect(200, "GET", path)
        notes.public.expect(200, "GET", f"/notes?tag={notes.run_id}")
        notes.editor.expect(204, "DELETE", path)


def three_requests(stack: DeployedStack) -> None:
    """Write, read and delete a note."""
    notes = Notes(stack)
    path = notes.path("event")
    notes.editor.expect(201, "PUT", path, TEXT, b"event")
    notes.public.expect(200, "GET", path)
    notes.editor.expect(204, "DELETE", path)


EVENT = BilledEvent("three requests: a note is written, read and deleted", three_requests)

ROLES = (Covered("FunctionName", smoke), Covered("EditorRoleArn", smoke, function="FunctionName"))


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the notes, and the functions that the drill has made."""
    functions = stack.client("lambda").get_paginator("list_functions").paginate()
    names = [one["FunctionName"] for page in functions for one in page["Functions"]]
    return [*left.in_tables(stack), *(name for name in names if name.startswith(PREFIX))]
