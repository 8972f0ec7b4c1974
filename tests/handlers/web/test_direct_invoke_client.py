"""The client: what it does with each outcome of an attempt, with the real SDK against a small server."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from hypothesis import given
from hypothesis import strategies as st

from web.direct_invoke.client import (
    Client,
    DeadlineExceeded,
    FunctionFailed,
    Limits,
    Refused,
)

NAME = "charges"
THROTTLED = {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "message": "Rate Exceeded."}


@dataclass
class Reply:
    """What the server does with one attempt."""

    status: int = 200
    body: Any = field(default_factory=dict)
    error: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0
    hang_up: bool = False


def failed(error_type: str, message: str = "no") -> Reply:
    """A function error."""
    body = {"errorMessage": message} | ({"errorType": error_type} if error_type else {})
    return Reply(body=body, headers={"X-Amz-Function-Error": "Unhandled"})


def refused(status: int, code: str, **headers: str) -> Reply:
    """An error of Lambda itself."""
    return Reply(status, {"Message": "no", **THROTTLED}, code, headers)


class Server(ThreadingHTTPServer):
    """Gives the replies one by one, and remembers what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[Reply] = []
        self.payloads: list[dict[str, Any]] = []
        self.kinds: list[str] = []


class Handler(BaseHTTPRequestHandler):
    """Answers with the next reply."""

    server: Server

    def do_POST(self) -> None:
        self.server.payloads.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.kinds.append(self.headers["X-Amz-Invocation-Type"])
        reply = self.server.replies.pop(0)
        time.sleep(reply.wait)  # much longer than the client waits
        if reply.hang_up:
            self.connection.close()
            return
        body = b"" if reply.status == 204 else json.dumps(reply.body).encode()
        self.send_response(reply.status)
        for name, value in {
            "x-amzn-RequestId": "r-1",
            "x-amzn-ErrorType": reply.error,
            **reply.headers,
        }.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def _server() -> Iterator[Server]:
    with Server() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def server(_server: Server) -> Server:
    _server.replies, _server.payloads, _server.kinds = [], [], []
    return _server


@dataclass
class Time:
    """A clock that only pauses move."""

    now: float = 0
    pauses: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def client(
    server: Server, *replies: Reply, limits: Limits | None = None, clock: Time | None = None
) -> Client:
    """A client of the server, whose pauses are the longest possible ones and take no time."""
    server.replies = list(replies)
    clock = clock or Time()

    def make(config: Config) -> Any:
        return botocore.session.get_session().create_client(
            "lambda",
            region_name="eu-west-1",
            endpoint_url=f"http://127.0.0.1:{server.server_address[1]}",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=config,
        )

    return Client(
        NAME,
        limits or Limits(first_pause=1, longest_pause=4),
        make,
        uniform=lambda _low, high: high,
        sleep=clock.sleep,
        clock=lambda: clock.now,
    )


def test_an_answer_is_returned(server: Server) -> None:
    answer = client(server, Reply(body={"charge_id": "c"})).call({"cents": 1})
    assert (answer.payload, answer.attempts, answer.errors) == ({"charge_id": "c"}, 1, ())
    assert server.payloads == [{"cents": 1, "idempotency_key": answer.idempotency_key}]


TEMPORARY = {
    "throttled": refused(429, "TooManyRequestsException"),
    "function pending": refused(409, "ResourceConflictException"),
    "service error": refused(500, "ServiceException"),
    "bad gateway": refused(502, "EC2ThrottledException"),
    "unavailable": refused(503, "ServiceUnavailable"),
    "connection closed": Reply(hang_up=True),
    "no answer in time": Reply(wait=5),
    "function timed out": failed("Sandbox.Timedout"),
    "function timed out, without a type": failed("", "2026-11-27 r-1 Task timed out after 3.00 seconds"),
    "function exited": failed("Runtime.ExitError"),
}


@pytest.mark.parametrize("reply", TEMPORARY.values(), ids=TEMPORARY)
def test_a_temporary_failure_is_tried_again_with_the_same_key(server: Server, reply: Reply) -> None:
    # Real seconds: few where the first attempt waits for them, or else more than a busy machine needs.
    limits = Limits(attempt=1.5 if reply.wait else 10, first_pause=1, longest_pause=4)
    answer = client(server, reply, Reply(body=7), limits=limits).call({"cents": 1})
    assert (answer.payload, answer.attempts, len(answer.errors)) == (7, 2, 1)
    assert {one["idempotency_key"] for one in server.payloads} == {answer.idempotency_key}


PERMANENT = {
    "not permitted": (refused(403, "AccessDeniedException"), Refused),
    "no such function": (refused(404, "ResourceNotFoundException"), Refused),
    "too large": (refused(413, "RequestEntityTooLargeException"), Refused),
    "invalid": (refused(400, "InvalidRequestContentException"), Refused),
    "function error": (failed("InvalidCharge"), FunctionFailed),
    "function error without a type": (failed(""), FunctionFailed),
    "response too large": (failed("Function.ResponseSizeTooLarge"), FunctionFailed),
}


@pytest.mark.parametrize(("reply", "error"), PERMANENT.values(), ids=PERMANENT)
def test_a_permanent_failure_is_not_tried_again(server: Server, reply: Reply, error: type[Exception]) -> None:
    with pytest.raises(error):
        client(server, reply).call({"cents": 1})
    assert len(server.payloads) == 1


def test_pauses_double_up_to_the_longest_one(server: Server) -> None:
    clock, throttled = Time(), refused(429, "TooManyRequestsException")
    client(server, *[throttled] * 5, Reply(), clock=clock).call({})
    assert clock.pauses == [1, 2, 4, 4, 4]


def test_retry_after_is_the_shortest_pause(server: Server) -> None:
    clock, slow = Time(), refused(429, "TooManyRequestsException", **{"Retry-After": "9"})
    date = refused(503, "ServiceUnavailable", **{"Retry-After": "Fri, 27 Nov 2026 10:00:00 GMT"})
    client(server, slow, date, Reply(), clock=clock).call({})
    assert clock.pauses == [9, 2]


@given(attempt=st.integers(0, 8), seed=st.randoms(use_true_random=False))
def test_a_pause_is_anywhere_between_zero_and_the_limit(attempt: int, seed: Any) -> None:
    limits = Limits()
    limit = min(limits.longest_pause, limits.first_pause * 2**attempt)
    assert 0 <= seed.uniform(0, limit) <= limit


def test_no_attempt_begins_that_could_end_after_the_deadline(server: Server) -> None:
    clock, limits = Time(), Limits(deadline=5, attempt=2, first_pause=1, longest_pause=4)
    throttled = refused(429, "TooManyRequestsException")
    with pytest.raises(DeadlineExceeded, match=r"no answer after 3 attempts.*idempotency_key: k"):
        client(server, *[throttled] * 9, limits=limits, clock=clock).call({}, idempotency_key="k")
    assert clock.now + limits.attempt <= limits.deadline
    assert len(server.payloads) == 3


@pytest.mark.parametrize(
    "limits", [{"deadline": 0}, {"attempt": -1}, {"first_pause": 0}, {"deadline": 1, "attempt": 2}]
)
def test_limits_that_allow_no_attempt_are_rejected(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give "):
        Limits(**limits)


def test_an_event_is_queued_and_a_dry_run_has_no_answer(server: Server) -> None:
    one = client(server, Reply(202), Reply(204))
    assert one.send({"cents": 1}).payload == "r-1"
    one.check()
    assert server.kinds == ["Event", "DryRun"]
