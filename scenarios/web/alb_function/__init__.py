"""Sends HTTP requests of every kind to a deployed load balancer, and breaks what is behind it."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from scenarios.framework import BilledEvent, Covered, DeployedStack, NotYet, Outcome, Story, require
from scenarios.support.faults import Faults
from scenarios.web.alb_function.broken_target import BROKEN, BrokenTarget
from scenarios.web.alb_function.client import BINARY, TEXT, NotesClient

# What the embedded AWS accepts but does not emulate, and why the scenario proves its facts all the same.
ACCEPTED_NOT_EMULATED: Mapping[str, str] = {}

CONCURRENT = 200
KB = 1000

# What a URL cannot contain as it is: a space, a slash, a percent sign, characters outside ASCII.
NAME = "café ☕ 100 % + 1/2 𝄞"


def run(stack: DeployedStack) -> Outcome:
    """Send requests of every kind, at every limit, and many at a time.

    Raises:
        ScenarioFailed: A response is not the expected one.
    """
    story = Story("A function answers HTTP through a load balancer", stack.tell)
    with NotesClient(stack) as notes:
        notes.wait_until_reachable()
        _check_conversions(notes, story)
        _check_repeated_values(notes, story)
        _check_limits(notes, story)
        _check_errors(notes, story)
        with story.timed("concurrent requests"):
            _check_concurrency(notes, story)
    _check_health(stack, story)
    return story.outcome()


def drill(stack: DeployedStack, faults: Faults) -> Outcome:
    """Break what is behind the load balancer: clients get clean errors that disclose nothing.

    Raises:
        ScenarioFailed: A response is not the expected one.
    """
    story = Story("A broken function is a clean error", stack.tell)
    target = BrokenTarget(stack)
    with NotesClient(stack) as notes:
        _remove_a_permission_of_the_function(stack, notes, story, faults)
        _remove_the_permission_to_invoke(target, notes, story)
        _replace_the_function(target, notes, story)
        _disable_multi_value_headers(target, notes, story)
    return story.outcome()


def smoke(stack: DeployedStack) -> None:
    """Use each permission of the function once.

    Raises:
        ScenarioFailed: A response is not the expected one.
    """
    with NotesClient(stack) as notes:
        path = notes.path("smoke")
        notes.expect(201, "PUT", path, [*TEXT, ("Note-Tag", notes.run_id)], b"smoke")
        notes.expect(200, "GET", path)
        notes.wait_for_list(f"tag={notes.run_id}", 1)
        notes.expect(204, "DELETE", path)


def leftovers(stack: DeployedStack) -> list[str]:
    """Return the notes that `run` and `drill` left in the table."""
    items = stack.client("dynamodb").scan(TableName=stack.output("TableName"))["Items"]
    return [f"note: {item['name']['S']}" for item in items]


def three_requests(stack: DeployedStack) -> None:
    """Write, read and delete a note."""
    notes = NotesClient(stack)
    path = notes.path("event")
    notes.expect(201, "PUT", path, TEXT, b"event")
    notes.expect(200, "GET", path)
    notes.expect(204, "DELETE", path)


#: An LCU has 25 new connections a second.
EVENT = BilledEvent(
    "three requests: a note is written, read and deleted",
    three_requests,
    also={"Application Load Balancer LCU-hours": 3 / 25 / 3600},
)

ROLES: tuple[Covered, ...] = (Covered("FunctionName", smoke),)


# --- The parts of a run


def _check_conversions(notes: NotesClient, story: Story) -> None:
    path, text = notes.path(NAME), "Grüße\r\n\tand \0 and \u2028".encode()
    tags = [("Note-Tag", f"{notes.run_id}, %C3%A9t%C3%A9"), ("Note-Tag", f"second-{notes.run_id}")]
    made = notes.expect(201, "PUT", path, [*TEXT, *tags], text)
    require(made.header("location") == path, f"Location is {made.header('location')}, not {path}")
    read = notes.expect(200, "GET", path)
    require(read.body == text, f"the text came back as {read.body!r}")
    require(read.header("content-type") == TEXT[0][1], f"its media type is {read.header('content-type')!r}")
    lines = sorted(read.lines("note-tag"))
    require(lines == sorted([notes.run_id, "%C3%A9t%C3%A9", f"second-{notes.run_id}"]), f"its tags: {lines}")
    story.say(f"Stored a text under the name {NAME!r}, with a header sent twice: both lines came back.")
    head = notes.expect(200, "HEAD", path)
    require(head.body == b"" and head.lines("note-tag") == read.lines("note-tag"), f"HEAD: {head.headers}")
    binary = bytes(range(256)) * 400
    notes.expect(204, "PUT", path, BINARY, binary)
    require(notes.expect(200, "GET", path).body == binary, "the bytes came back changed")
    story.say(f"Replaced it with {len(binary):,} bytes of all values: they came back unchanged.")
    story.fact("binary bytes", len(binary))


def _check_repeated_values(notes: NotesClient, story: Story) -> None:
    """A query parameter sent twice, two cookies in the response, and both sent back in lines of their own."""
    tag = f"liste-{notes.run_id}-é"
    encoded = tag.replace("é", "%C3%A9")
    for number in range(3):
        both = [("Note-Tag", encoded), ("Note-Tag", "odd" if number % 2 else "even")]
        notes.expect(201, "PUT", notes.path(f"list {number}"), [*TEXT, *both], b"x")
    notes.wait_for_list(f"tag={encoded}", 3)
    found = notes.wait_for_list(f"tag={encoded}&tag=even", 2)
    require(all(set(note["tags"]) == {tag, "even"} for note in found), f"other tags: {found}")
    set_cookies = notes.expect(204, "PUT", "/preferences?limit=2&sort=oldest").lines("set-cookie")
    cookies = [line.partition(";")[0] for line in set_cookies]
    require(sorted(cookies) == ["limit=2", "sort=oldest"], f"cookies: {set_cookies}")
    listed = notes.expect(200, "GET", f"/notes?tag={encoded}", [("Cookie", line) for line in cookies])
    names = [note["name"][-1] for note in listed.json()["notes"]]
    require(names == ["0", "1"], f"the cookies ask for the two oldest notes: {names}")
    story.say("Found notes by a query parameter sent twice; two cookies arrived and came back as two lines.")
    story.fact("cookies", len(cookies))


def _check_limits(notes: NotesClient, story: Story) -> None:
    path = notes.path("large")
    large = b"".join(b"%08d\n" % number for number in range(100 * KB))
    notes.expect(201, "PUT", path, TEXT, large)
    require(notes.expect(200, "GET", path).body == large, "900 KB of text came back changed")
    story.say(f"{len(large) // KB} KB of text: stored and returned.")
    noise = random.Random(0).randbytes(900 * KB)
    refused = notes.expect_problem(413, "PUT", path, BINARY, noise)
    story.say(f"{len(noise) // KB} KB that cannot be compressed: 413, {refused['detail']}.")
    _expect_page(notes, 413, "PUT", path, noise[: 100 * KB] * 20)
    story.say("2 MB: 413 from the load balancer; the function was not invoked.")
    japanese = ("長い話。" * 75 * KB).encode()
    notes.expect(204, "PUT", path, TEXT, japanese)
    too_large = notes.expect_problem(500, "GET", path)
    compressed = notes.expect(200, "GET", path, [("Accept-Encoding", "br, gzip;q=0.5")])
    require(compressed.header("content-encoding") == "gzip", f"not compressed: {compressed.headers}")
    require(gzip.decompress(compressed.body) == japanese, "900 KB of Japanese came back changed")
    story.say(f"{len(japanese) // KB} KB of Japanese: 500, {too_large['detail']}. With it they came back.")
    story.fact("largest text", len(large))


def _check_errors(notes: NotesClient, story: Story) -> None:
    problems = [
        notes.expect_problem(400, "GET", "/notes/%FF"),
        notes.expect_problem(404, "GET", notes.path("missing")),
        notes.expect_problem(404, "GET", "/nowhere"),
        notes.expect_problem(405, "PATCH", "/notes", TEXT, b"x"),
        notes.expect_problem(415, "PUT", notes.path("encoded"), [("Content-Encoding", "br")], b"x"),
        notes.expect_problem(422, "GET", "/notes?tag=a%20b"),
    ]
    statuses = ", ".join(sorted({str(problem["status"]) for problem in problems}))
    allowed = notes.expect(204, "OPTIONS", "/notes").header("allow")
    require(allowed == "GET, HEAD, OPTIONS", f"Allow: {allowed}")
    story.say(f"Responses to invalid requests say what is wrong: {statuses}.")
    story.fact("error statuses", statuses)


def _check_concurrency(notes: NotesClient, story: Story) -> None:
    """Each client gets its own response, and no note is lost."""
    paths = [notes.path(f"concurrent {number}") for number in range(CONCURRENT)]

    def write_and_read(path: str) -> Counter[int]:
        body = f"the content of {path}".encode()
        written = notes.send_patiently("PUT", path, TEXT, body)
        read = notes.send_patiently("GET", path)
        require(read.status != 200 or read.body == body, f"GET {path} got another response: {read.body!r}")
        # 204: the first attempt wrote the note although DynamoDB's answer was late.
        return Counter([201 if written.status == 204 else written.status, read.status])

    with ThreadPoolExecutor(CONCURRENT) as pool:
        statuses = sum(pool.map(write_and_read, paths), Counter[int]())
    require(statuses == {201: CONCURRENT, 200: CONCURRENT}, f"statuses of concurrent requests: {statuses}")
    story.say(f"{CONCURRENT} clients wrote a note each and read it at the same time: all got their own.")
    story.fact("concurrent clients", CONCURRENT)


def _check_health(stack: DeployedStack, story: Story) -> None:
    group = stack.output("TargetGroupArn")

    def check() -> str:
        described = stack.client("elbv2").describe_target_health(TargetGroupArn=group)
        (target,) = described["TargetHealthDescriptions"]
        if target["TargetHealth"]["State"] != "healthy":
            raise NotYet(str(target["TargetHealth"]))
        return str(target["TargetHealth"]["State"])

    story.fact("target health", stack.wait_until(check, "the health of the function"))
    story.say("The load balancer's health checks report the function as healthy.")


# --- The parts of the drill


def _remove_a_permission_of_the_function(
    stack: DeployedStack, notes: NotesClient, story: Story, faults: Faults
) -> None:
    function = stack.client("lambda").get_function_configuration(FunctionName=stack.output("FunctionName"))
    with faults.without_permission(function["Role"].rpartition("/")[2], "dynamodb:PutItem"):
        problem = notes.expect_problem(500, "PUT", notes.path("denied"), TEXT, b"x")
    leaked = [word for word in ("AccessDenied", "dynamodb", "arn:") if word in str(problem)]
    require(not leaked, f"the response discloses {leaked}: {problem}")
    notes.expect(201, "PUT", notes.path("denied"), TEXT, b"x")
    story.say(f"Removed dynamodb:PutItem: 500, {problem['detail']!r} and a request id.")


def _remove_the_permission_to_invoke(target: BrokenTarget, notes: NotesClient, story: Story) -> None:
    with target.without_permission():
        _expect_page(notes, 502, "GET", "/health")
    notes.expect(200, "GET", "/health")
    story.say("Removed the load balancer's permission to invoke the function: 502, without the reason.")


def _replace_the_function(target: BrokenTarget, notes: NotesClient, story: Story) -> None:
    with target.registered():
        for path in BROKEN:
            _expect_page(notes, 502, "GET", path)
    notes.expect(200, "GET", "/health")
    story.say(
        f"Replaced the function by a broken one: 502, without the reason, for {', '.join(BROKEN.values())}."
    )
    story.fact("malformed responses", len(BROKEN))


def _disable_multi_value_headers(target: BrokenTarget, notes: NotesClient, story: Story) -> None:
    path, twice = notes.path("single"), [("Note-Tag", "first"), ("Note-Tag", "last")]
    with target.attribute("lambda.multi_value_headers.enabled", "false"):
        notes.expect(201, "PUT", path, [*TEXT, *twice], b"x")
        tags = notes.expect(200, "GET", path).lines("note-tag")
        cookies = notes.expect(204, "PUT", "/preferences?limit=2&sort=oldest").lines("set-cookie")
    require(tags == ["last"], f"without multi-value headers only the last line should arrive: {tags}")
    require(len(cookies) == 2, f"cookies: {cookies}")
    notes.expect(200, "GET", "/health")
    story.say("Disabled multi-value headers: only the last line of a header arrives; both cookies come out.")
    story.fact("lines of a repeated header", len(tags))


def _expect_page(notes: NotesClient, status: int, method: str, path: str, body: bytes = b"") -> None:
    """Expect a page from the load balancer itself, which discloses nothing about the function."""
    answer = notes.expect(status, method, path, BINARY if body else (), body)
    page = answer.body.decode("latin-1").lower()
    require("<html" in page and str(status) in page, f"{method} {path}: the {status} is {page[:200]!r}")
    leaked = [word for word in ("secret", "lambda", "traceback", "arn:") if word in page]
    require(not leaked, f"{method} {path}: the page of the {status} discloses {leaked}")
