"""Caller → ``Invoke`` → answer, with retries: a client for a function that another program offers.

What it does with each outcome:

====================================  ==================================================================
200                                   returns the answer
429, 5xx, no connection, no answer    tries again, after a random pause that grows; ``Retry-After`` is obeyed
409 (the function is being prepared)  tries again
function error: timed out, exited     tries again: the function ended before it could answer
any other function error              ``FunctionFailed``: the function said what is wrong
any other 4xx (403, 404, 413)         ``Refused``: the same request is refused again
no time left for another attempt      ``DeadlineExceeded``: perhaps done, perhaps not; ask with the same key
====================================  ==================================================================

Each request has an idempotency key that all of its attempts share, because an attempt without an answer may
have had its effect. It needs botocore only, and runs wherever there are credentials.

https://docs.aws.amazon.com/lambda/latest/dg/invocation-retries.html
https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

import itertools
import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import uuid4

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

# Lambda reports these itself: the environment ended before the function answered.
# https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
_ENDED = ("Sandbox.Timedout", "Runtime.ExitError")
_TIMED_OUT = "Task timed out after"  # older runtimes give no type
# Conflict: Lambda still prepares the function, for the first time or after weeks without a call.
_TEMPORARY = (409, 429)


class FunctionFailed(Exception):
    """The function raised an error. A retry would raise it again."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.error_type = error_type
        self.message = message

    @property
    def ended(self) -> bool:
        """Whether the function ended before it could answer, so that a retry may succeed."""
        return self.error_type in _ENDED or _TIMED_OUT in self.message


class Refused(Exception):
    """Lambda refused the request: no permission, no such function, too large."""

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(f"{code} ({status}): {message}")
        self.code = code
        self.status = status


class DeadlineExceeded(Exception):
    """No answer within the deadline. The request may have had its effect; repeat it with the same key."""


@dataclass(frozen=True)
class Limits:
    """How long a request may take, and how long the pauses are. In seconds.

    Args:
        deadline: For all attempts of a request and the pauses between them.
        attempt: For one attempt: longer than the function's own timeout, or an attempt is given up while the
            function still works.
        first_pause: The longest pause after the first attempt; it doubles after each further one.
        longest_pause: What it grows to.

    Raises:
        ValueError: A value is not positive, or one attempt would take longer than the deadline.
    """

    deadline: float = 30.0
    attempt: float = 10.0
    first_pause: float = 0.1
    longest_pause: float = 5.0

    def __post_init__(self) -> None:
        if min(self.deadline, self.attempt, self.first_pause, self.longest_pause) <= 0:
            raise ValueError(f"{self}: give more than 0 seconds for each.")
        if self.attempt > self.deadline:
            raise ValueError(
                f"attempt={self.attempt:g}: longer than deadline={self.deadline:g}, so none fits into it; "
                "give a longer deadline."
            )


@dataclass(frozen=True)
class Answer:
    """What a call returned.

    Args:
        payload: The function's answer; for an asynchronous call the id of the request.
        attempts: How many attempts it took.
        idempotency_key: The key that all of them had.
        errors: What ended the earlier attempts.
    """

    payload: Any
    attempts: int
    idempotency_key: str
    errors: tuple[str, ...] = ()


@dataclass
class Client:
    """Calls one function.

    Args:
        function: Its name or ARN, best that of an alias; of another account always the ARN.
        limits: How long a request may take.
        make_client: Makes the SDK's client; gets its ``Config``.
        uniform: Draws a pause between two values.
        sleep: Waits.
        clock: Seconds that never go back.

    Example::

        charges = Client("arn:aws:lambda:eu-west-1:123456789012:function:charges:live")
        charges.call({"account": "a-17", "cents": 1250}).payload
    """

    function: str
    limits: Limits = field(default_factory=Limits)
    make_client: Callable[[Config], Any] = lambda config: botocore.session.get_session().create_client(
        "lambda", config=config
    )
    uniform: Callable[[float, float], float] = random.uniform
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        connecting = min(1.0, self.limits.attempt / 4)
        self._lambda = self.make_client(
            Config(
                connect_timeout=connecting,
                read_timeout=self.limits.attempt - connecting,
                retries={"total_max_attempts": 1},  # this module retries, with a deadline
                tcp_keepalive=True,  # a long invocation sends nothing, and firewalls forget idle connections
            )
        )

    def call(self, request: dict[str, Any], *, idempotency_key: str | None = None) -> Answer:
        """Invoke the function and wait for its answer.

        Args:
            request: The payload, at most 6 MB; the key is added as ``idempotency_key``.
            idempotency_key: Default: a new one. Give the one of an earlier call to repeat that call.

        Raises:
            FunctionFailed: The function raised an error.
            Refused: Lambda refused the request.
            DeadlineExceeded: There was no answer in time.
        """
        return self._repeat("RequestResponse", request, idempotency_key or uuid4().hex)

    def send(self, request: dict[str, Any], *, idempotency_key: str | None = None) -> Answer:
        """Queue an event for the function, at most 1 MB; Lambda retries it, and there is no answer.

        Raises:
            Refused: Lambda refused the event.
            DeadlineExceeded: It was not accepted in time.
        """
        return self._repeat("Event", request, idempotency_key or uuid4().hex)

    def check(self) -> None:
        """Check permission and name without invoking the function (``DryRun``).

        Raises:
            Refused: The function could not be invoked.
            DeadlineExceeded: There was no answer in time.
        """
        self._repeat("DryRun", {}, "")

    def _repeat(
        self, kind: Literal["RequestResponse", "Event", "DryRun"], request: dict[str, Any], key: str
    ) -> Answer:
        payload = json.dumps({**request, "idempotency_key": key}).encode()
        end = self.clock() + self.limits.deadline
        errors: list[str] = []
        for attempt in itertools.count(1):
            try:
                return Answer(self._attempt(kind, payload), attempt, key, tuple(errors))
            except (ClientError, HTTPClientError, FunctionFailed) as error:
                least = _pause_before_retry(error)
                errors.append(str(error))
                longest = min(self.limits.longest_pause, self.limits.first_pause * 2 ** min(attempt - 1, 30))
                pause = max(least, self.uniform(0, longest))
                if self.clock() + pause + self.limits.attempt > end:
                    raise DeadlineExceeded(
                        f"no answer after {attempt} attempts, and no time for another one within "
                        f"{self.limits.deadline:g} seconds; last error: {error}; idempotency_key: {key}"
                    ) from error
            self.sleep(pause)
        raise AssertionError("unreachable")

    def _attempt(self, kind: str, payload: bytes) -> Any:
        answer = self._lambda.invoke(FunctionName=self.function, InvocationType=kind, Payload=payload)
        if kind != "RequestResponse":
            return answer["ResponseMetadata"]["RequestId"]
        body = json.loads(answer["Payload"].read() or b"null")
        if "FunctionError" not in answer:
            return body
        error = body if isinstance(body, dict) else {}
        raise FunctionFailed(str(error.get("errorType", "")), str(error.get("errorMessage", body)))


def _pause_before_retry(error: Exception) -> float:
    """The shortest pause before another attempt, in seconds.

    Raises:
        FunctionFailed: Another attempt would fail as well.
        Refused: Another attempt would be refused as well.
    """
    if isinstance(error, FunctionFailed):
        if not error.ended:
            raise error
        return 0
    if not isinstance(error, ClientError):
        return 0  # no connection, or no answer
    metadata = error.response["ResponseMetadata"]
    status = metadata["HTTPStatusCode"]
    if status not in _TEMPORARY and status < 500:
        details = error.response["Error"]
        raise Refused(details["Code"], status, details.get("Message", "")) from error
    try:
        return float(metadata.get("HTTPHeaders", {}).get("retry-after", 0))
    except ValueError:  # a date, which Lambda does not send
        return 0
