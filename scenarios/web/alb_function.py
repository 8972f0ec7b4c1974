"""Sends HTTP of every kind to a deployed load balancer, and breaks what is behind it."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from scenarios.framework import DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.faults import Faults
from scenarios.web.broken_target import BROKEN, BrokenTarget
from scenarios.web.notes import BINARY, JSON, TEXT, NotesClient

# What the embedded AWS accepts and does not do, and why the scenario is a proof all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

CONCURRENT = 200
KB = 1000

# Everything that a name may have and a URL may not: a space, a slash, a percent sign, characters of four
# bytes.
NAME = "café ☕ 100 % + 1/2 𝄞"


def run(stack: DeployedStack) -> Outcome:
    """Requests of every kind, at every limit, and many at a time.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("A function answers HTTP through a load balancer", stack.tell)
    with NotesClient(stack) as notes:
        notes.wait_until_there()
        _check_conversions(notes, story)
        _check_validators_and_compression(notes, story)
        _check_lists_and_cookies(notes, story)
        _check_limits(notes, story)
        _check_errors(notes, story)
        with story.timed("concurrent requests"):
            _check_concurrency(notes, story)
    _check_health(stack, story)
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """The shortest way past everything that the function may do: for checks that repeat it often.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    with NotesClient(stack) as notes:
        path = notes.path("smoke")
        notes.expect(201, "PUT", path, [*TEXT, ("Note-Tag", notes.run_id)], b"smoke")
        notes.expect(200, "GET", path)
        notes.wait_for_list(f"tag={notes.run_id}", 1)
        notes.expect(204, "DELETE", path)


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Whatever breaks behind the load balancer, clients get an answer, and learn nothing from it.

    Raises:
        ScenarioFailed: Something did not come out as it should.
    """
    story = Story("A broken function is a clean error", stack.tell)
    with NotesClient(stack) as notes:
        _fail_for_want_of_a_permission(stack, notes, story, faults)
        _fail_for_want_of_the_right_to_invoke(stack, notes, story)
        _fail_with_a_broken_function(stack, notes, story)
        _go_on_without_multi_value_headers(stack, notes, story)
        notes.expect(200, "GET", "/health")
    return story.outcome()


# --- The parts of a run


def _check_conversions(notes: NotesClient, story: Story) -> None:
    """Bytes, names, repeated headers: what goes in comes out."""
    path, text = notes.path(NAME), "Grüße\r\n\tand \0 and \u2028".encode()
    tags = [("Note-Tag", f"{notes.run_id}, %C3%A9t%C3%A9"), ("Note-Tag", f"second-{notes.run_id}")]
    made = notes.expect(201, "PUT", path, [*TEXT, *tags], text)
    require(made.header("location") == path, f"Location is {made.header('location')}, not {path}")
    read = notes.expect(200, "GET", path)
    require(read.body == text, f"the text came back as {read.body!r}")
    require(read.header("content-type") == TEXT[0][1], f"its type is {read.header('content-type')!r}")
    lines = sorted(read.lines("note-tag"))
    require(lines == sorted([notes.run_id, "%C3%A9t%C3%A9", f"second-{notes.run_id}"]), f"its tags: {lines}")
    story.say(f"Kept a text under the name {NAME!r}, with a header sent twice: both lines came back.")
    head = notes.expect(200, "HEAD", path)
    require(head.body == b"" and head.header("etag") == read.header("etag"), f"HEAD: {head.headers}")
    binary = bytes(range(256)) * 400
    notes.expect(204, "PUT", path, BINARY, binary)
    require(notes.expect(200, "GET", path).body == binary, "bytes came back changed")
    story.say(f"Replaced it by {len(binary):,} bytes of every value: they came back as they were.")


def _check_validators_and_compression(notes: NotesClient, story: Story) -> None:
    path, text = notes.path("long"), b"the same line again\n" * 2_000
    notes.expect(201, "PUT", path, TEXT, text)
    plain = notes.expect(200, "GET", path)
    small = notes.expect(200, "GET", path, [("Accept-Encoding", "br, gzip;q=0.5")])
    require(small.header("content-encoding") == "gzip", f"not compressed: {small.headers}")
    require(gzip.decompress(small.body) == plain.body == text, "the compressed text is another one")
    for etag in (plain.header("etag"), small.header("etag")):
        unchanged = notes.expect(304, "GET", path, [("If-None-Match", f'"other", {etag}')])
        require(unchanged.body == b"", "a 304 with a body")
    notes.expect_problem(412, "PUT", path, [*TEXT, ("If-Match", '"other"')], b"lost update")
    notes.expect_problem(412, "PUT", path, [*TEXT, ("If-None-Match", "*")], b"lost update")
    notes.expect(204, "PUT", path, [*TEXT, ("If-Match", small.header("etag"))], b"changed on purpose")
    story.say(
        f"Compressed {len(text):,} bytes to {len(small.body):,}, answered 304 to who had them, and let "
        "nobody overwrite what they had not seen."
    )


def _check_lists_and_cookies(notes: NotesClient, story: Story) -> None:
    tag = f"liste-{notes.run_id}-é"
    encoded = tag.replace("é", "%C3%A9")
    for number in range(3):
        both = [("Note-Tag", encoded), ("Note-Tag", "odd" if number % 2 else "even")]
        notes.expect(201, "PUT", notes.path(f"list {number}"), [*TEXT, *both], b"x")
    notes.wait_for_list(f"tag={encoded}", 3)
    found = notes.wait_for_list(f"tag={encoded}&tag=even", 2)["notes"]
    require(all(set(note["tags"]) == {tag, "even"} for note in found), f"other tags: {found}")
    set_cookies = notes.expect(204, "PUT", "/preferences", JSON, b'{"limit": 2, "sort": "oldest"}')
    cookies = [line.partition(";")[0] for line in set_cookies.lines("set-cookie")]
    require(sorted(cookies) == ["limit=2", "sort=oldest"], f"cookies: {set_cookies.lines('set-cookie')}")
    page = notes.expect(200, "GET", f"/notes?tag={encoded}", [("Cookie", line) for line in cookies])
    following = notes.expect(200, "GET", page.json()["next"])
    names = [note["name"][-1] for note in (*page.json()["notes"], *following.json()["notes"])]
    require(names == ["0", "1", "2"], f"the pages of a list, oldest first, two a page: {names}")
    story.say(
        "Found notes by a tag sent percent-encoded and twice; two cookies, as two lines, set the order."
    )


def _check_limits(notes: NotesClient, story: Story) -> None:
    path = notes.path("large")
    large = b"".join(b"%08d\n" % number for number in range(100 * KB))
    notes.expect(201, "PUT", path, TEXT, large)
    require(notes.expect(200, "GET", path).body == large, "900 KB of text came back changed")
    story.say(f"{len(large) // KB} KB of text went in, and out again.")
    noise = random.Random(0).randbytes(900 * KB)
    refused = notes.expect_problem(413, "PUT", path, BINARY, noise)
    story.say(f"{len(noise) // KB} KB that cannot be compressed: {refused['detail']}.")
    _expect_own_page(notes, 413, "PUT", path, noise[: 100 * KB] * 20)
    story.say("2 MB: the load balancer itself refused them with 413.")
    japanese = ("長い話。" * 75 * KB).encode()
    notes.expect(204, "PUT", path, TEXT, japanese)
    too_large = notes.expect_problem(500, "GET", path)
    compressed = notes.expect(200, "GET", path, [("Accept-Encoding", "gzip")])
    require(gzip.decompress(compressed.body) == japanese, "900 KB of Japanese came back changed")
    story.say(f"{len(japanese) // KB} KB of Japanese: {too_large['detail']}; and so they came.")


def _check_errors(notes: NotesClient, story: Story) -> None:
    told = [
        notes.expect_problem(400, "POST", "/notes", JSON, b"{"),
        notes.expect_problem(400, "GET", "/notes/%FF"),
        notes.expect_problem(404, "GET", notes.path("missing")),
        notes.expect_problem(404, "GET", "/nowhere"),
        notes.expect_problem(405, "PATCH", "/notes", JSON, b"{}"),
        notes.expect_problem(415, "POST", "/notes", TEXT, b"{}"),
        notes.expect_problem(422, "POST", "/notes", JSON, b'{"text": 1}'),
    ]
    counted = Counter(problem["status"] for problem in told)
    allowed = notes.expect(204, "OPTIONS", "/notes").header("allow")
    require(allowed == "GET, HEAD, OPTIONS, POST", f"Allow: {allowed}")
    story.say(f"Wrong requests were told what is wrong: {', '.join(map(str, sorted(counted)))}.")


def _check_concurrency(notes: NotesClient, story: Story) -> None:
    """All at once: each gets its own answer, and nothing is lost."""
    paths = [notes.path(f"concurrent {number}") for number in range(CONCURRENT)]

    def write_and_read(path: str) -> Counter[int]:
        body = f"the content of {path}".encode()
        statuses = [notes.send("PUT", path, TEXT, body).status]
        answer = notes.send("GET", path)
        require(
            answer.status != 200 or answer.body == body, f"GET {path} got another's answer: {answer.body!r}"
        )
        return Counter([*statuses, answer.status])

    with ThreadPoolExecutor(CONCURRENT) as pool:
        statuses = sum(pool.map(write_and_read, paths), Counter[int]())
    require(
        statuses == {201: CONCURRENT, 200: CONCURRENT}, f"statuses of the concurrent requests: {statuses}"
    )
    story.say(
        f"{CONCURRENT} clients at the same time wrote a note each and read it: none was lost or mixed up."
    )


def _check_health(stack: DeployedStack, story: Story) -> None:
    group = stack.output("TargetGroupArn")

    def check() -> None:
        (target,) = stack.client("elbv2").describe_target_health(TargetGroupArn=group)[
            "TargetHealthDescriptions"
        ]
        if target["TargetHealth"]["State"] != "healthy":
            raise NotYet(str(target["TargetHealth"]))

    stack.wait_until(check, "the health of the function")
    story.say("The load balancer's own health checks call the function healthy.")


# --- The parts of the drill


def _fail_for_want_of_a_permission(
    stack: DeployedStack, notes: NotesClient, story: Story, faults: Faults
) -> None:
    function = stack.client("lambda").get_function_configuration(FunctionName=stack.output("FunctionName"))
    with faults.without_permission(function["Role"].rpartition("/")[2], "dynamodb:PutItem"):
        problem = notes.expect_problem(500, "PUT", notes.path("denied"), TEXT, b"x")
    leaked = [word for word in ("AccessDenied", "dynamodb", "arn:") if word in str(problem)]
    require(not leaked, f"the client was told {leaked}: {problem}")
    notes.expect(201, "PUT", notes.path("denied"), TEXT, b"x")
    story.say(
        f"Took dynamodb:PutItem from the role: the client learns {problem['detail']!r} and a request id."
    )


def _fail_for_want_of_the_right_to_invoke(stack: DeployedStack, notes: NotesClient, story: Story) -> None:
    with BrokenTarget(stack) as target, target.without_permission():
        _expect_own_page(notes, 502, "GET", "/health")
    notes.expect(200, "GET", "/health")
    story.say("Took the load balancer's permission to invoke the function: 502, and no word about it.")


def _fail_with_a_broken_function(stack: DeployedStack, notes: NotesClient, story: Story) -> None:
    with BrokenTarget(stack) as target, target.registered():
        for path in BROKEN:
            _expect_own_page(notes, 502, "GET", path)
    notes.expect(200, "GET", "/health")
    story.say(f"Put a broken function in its place: {', '.join(BROKEN.values())} were 502, and said nothing.")


def _go_on_without_multi_value_headers(stack: DeployedStack, notes: NotesClient, story: Story) -> None:
    path, twice = notes.path("single"), [("Note-Tag", "first"), ("Note-Tag", "last")]
    with BrokenTarget(stack) as target, target.attribute("lambda.multi_value_headers.enabled", "false"):
        notes.expect(201, "PUT", path, [*TEXT, *twice], b"x")
        tags = notes.expect(200, "GET", path).lines("note-tag")
        cookies = notes.expect(204, "PUT", "/preferences", JSON, b'{"limit": 2, "sort": "oldest"}')
    require(tags == ["last"], f"without multi-value headers the last line alone should arrive: {tags}")
    require(len(cookies.lines("set-cookie")) == 2, f"cookies: {cookies.lines('set-cookie')}")
    story.say("Switched multi-value headers off: the last line alone arrives; two cookies still come out.")


def _expect_own_page(notes: NotesClient, status: int, method: str, path: str, body: bytes = b"") -> None:
    """A page that the load balancer makes itself, with nothing in it of what is behind it."""
    answer = notes.expect(status, method, path, BINARY if body else (), body)
    page = answer.body.decode("latin-1").lower()
    require("<html" in page and str(status) in page, f"{method} {path}: the {status} is {page[:200]!r}")
    leaked: list[Any] = [word for word in ("secret", "lambda", "traceback", "arn:") if word in page]
    require(not leaked, f"{method} {path}: the page of the {status} has {leaked} in it")
