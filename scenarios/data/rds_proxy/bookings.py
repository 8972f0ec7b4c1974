"""The bookings service of the deployed stack: book, book concurrently, and add up."""

from __future__ import annotations

import base64
import json
import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.config import Config

from scenarios.framework import DeployedStack, require

T = TypeVar("T")

_MAX_CALLERS = 400
_ACCOUNTS = 16


@dataclass(frozen=True)
class Answer:
    """The result of an invocation.

    Args:
        payload: The function's response, or its error.
        error: The type of the error; ``None`` if there was none.
        seconds: How long the caller waited.
        connected: Whether the function opened a connection.
    """

    payload: dict[str, Any]
    error: str | None
    seconds: float
    connected: bool

    @property
    def reason(self) -> str:
        """Type and message of the error."""
        return f"{self.error}: {self.payload.get('errorMessage', '')}"


class Bookings:
    """The bookings service, used by one run with accounts of its own, which are at 0 again at the end.

    Args:
        stack: The deployed stack.

    Attributes:
        function: The function's name.
        account: The prefix of the names of this run's accounts.
        max_connections: How many connections the database has.
        role: Name of the function's role.
        user: The database user that the function connects as.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.function = stack.output("FunctionName")
        self.max_connections = int(stack.output("MaxConnections"))
        self.account = f"run-{uuid.uuid4().hex[:12]}"
        # Several, so that callers wait for connections and not for the lock of one row.
        self._accounts = [f"{self.account}-{number}" for number in range(_ACCOUNTS)]
        # Each caller occupies one of the client's connections. Failures are counted, not retried.
        config = Config(
            max_pool_connections=_MAX_CALLERS, read_timeout=180, retries={"total_max_attempts": 1}
        )
        self._lambda = stack.session.client("lambda", config=config)
        configuration = self._lambda.get_function_configuration(FunctionName=self.function)
        self.role: str = configuration["Role"].rpartition("/")[2]
        self.user: str = configuration["Environment"]["Variables"]["DB_USER"]

    def request_ids(self, count: int) -> list[str]:
        """Return new request ids of this run."""
        return [f"{self.account}-{uuid.uuid4().hex[:12]}" for _ in range(count)]

    def book(
        self, request_id: str, amount: int = 1, *, account: str | None = None, function: str | None = None
    ) -> Answer:
        """Book once. The request id chooses the account unless one is given."""
        account = account or self._accounts[int(request_id[-4:], 16) % len(self._accounts)]
        return self.send({"request_id": request_id, "account": account, "amount": amount}, function)

    def book_until_done(self, request_id: str) -> list[Answer]:
        """Send the same request until it succeeds, and return all answers."""
        answers = [self.book(request_id)]
        while answers[-1].error is not None:
            require(len(answers) < 20, f"20 attempts at one booking failed: {answers[-1].reason}")
            time.sleep(0.2)
            answers.append(self.book(request_id))
        return answers

    def send(self, event: object, function: str | None = None) -> Answer:
        """Invoke the function, or another one, with any event."""
        started = time.monotonic()
        response = self._lambda.invoke(
            FunctionName=function or self.function, Payload=json.dumps(event), LogType="Tail"
        )
        payload = json.loads(response["Payload"].read())
        seconds = time.monotonic() - started
        log = base64.b64decode(response.get("LogResult", ""))
        failed = "FunctionError" in response
        error = payload.get("errorType", "unknown") if failed else None
        return Answer(payload, error, seconds, b'"connected"' in log)

    def at_once(self, work: Callable[[str], T], request_ids: Sequence[str]) -> list[T]:
        """Call a function for each request id, all at the same time."""
        with ThreadPoolExecutor(len(request_ids)) as callers:
            return list(callers.map(work, request_ids))

    def balance(self) -> int:
        """Return the sum of the balances of this run's accounts."""
        return sum(self._balance(account) for account in self._accounts)

    def _balance(self, account: str) -> int:
        answer = self.book(self.request_ids(1)[0], amount=0, account=account)
        require(answer.error is None, f"the balance could not be read: {answer.reason}")
        return int(answer.payload["balance"])

    def close(self) -> None:
        """Reverse all bookings of this run."""
        for account in self._accounts:
            self.book(self.request_ids(1)[0], amount=-self._balance(account), account=account)


@contextmanager
def booking(stack: DeployedStack) -> Iterator[Bookings]:
    """Use the bookings service, and reverse all bookings at the end unless the body fails."""
    bookings = Bookings(stack)
    yield bookings
    bookings.close()


def require_success(answers: Sequence[Answer]) -> None:
    """Fail the scenario if a booking failed."""
    failed = [answer.reason for answer in answers if answer.error is not None]
    require(not failed, f"{len(failed)} of {len(answers)} bookings failed: {failed[:1]}")


def waiting_times(answers: Sequence[Answer]) -> str:
    """Say how long the callers waited."""
    waited = sorted(answer.seconds for answer in answers)
    return f"median {statistics.median(waited):.2f} s, slowest {waited[-1]:.2f} s"
