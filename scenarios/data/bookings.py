"""A deployed function behind RDS Proxy as its scenario handles it: book, many at once, and add up."""

from __future__ import annotations

import base64
import json
import statistics
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.config import Config

from scenarios.framework import DeployedStack, require

T = TypeVar("T")

_MOST_AT_ONCE = 400
_ACCOUNTS = 16


@dataclass(frozen=True)
class Answer:
    """What came of an invocation.

    Args:
        payload: What the function returned, or the error.
        error: The type of the error; None if there was none.
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
    """The function, for one run: accounts of its own, which are back at nothing at the end.

    Args:
        stack: The deployed stack.

    Attributes:
        function: The function's name.
        account: What the names of this run's accounts start with.
        max_connections: How many connections the database takes.
        role: Name of the function's role.
        user: The user of the database that it connects as.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self.function = stack.output("FunctionName")
        self.max_connections = int(stack.output("MaxConnections"))
        self.account = f"run-{uuid.uuid4().hex[:12]}"
        # Several, so that callers wait for connections and not for a row.
        self._accounts = [f"{self.account}-{number}" for number in range(_ACCOUNTS)]
        # Each call waits for its answer, so each needs a connection; a failure is to be seen, not retried.
        config = Config(
            max_pool_connections=_MOST_AT_ONCE, read_timeout=180, retries={"total_max_attempts": 1}
        )
        self._lambda = stack.session.client("lambda", config=config)
        configuration = self._lambda.get_function_configuration(FunctionName=self.function)
        self.role: str = configuration["Role"].rpartition("/")[2]
        self.user: str = configuration["Environment"]["Variables"]["DB_USER"]

    def request_ids(self, count: int) -> list[str]:
        """New request ids of this run."""
        return [f"{self.account}-{uuid.uuid4().hex[:12]}" for _ in range(count)]

    def book(
        self, request_id: str, amount: int = 1, *, account: str | None = None, function: str | None = None
    ) -> Answer:
        """Book once: by the function or by another one, to the request's account or to another one."""
        account = account or self._accounts[int(request_id[-4:], 16) % len(self._accounts)]
        return self.send({"request_id": request_id, "account": account, "amount": amount}, function)

    def book_until_done(self, request_id: str) -> list[Answer]:
        """Book as a caller does who wants it done: the same request again until it is answered."""
        answers = [self.book(request_id)]
        while answers[-1].error is not None:
            require(len(answers) < 20, f"20 attempts at one booking failed: {answers[-1].reason}")
            time.sleep(0.2)
            answers.append(self.book(request_id))
        return answers

    def send(self, event: object, function: str | None = None) -> Answer:
        """Invoke the function, or another one, with any event."""
        started = time.monotonic()
        answer = self._lambda.invoke(
            FunctionName=function or self.function, Payload=json.dumps(event), LogType="Tail"
        )
        payload = json.loads(answer["Payload"].read())
        seconds = time.monotonic() - started
        log = base64.b64decode(answer.get("LogResult", ""))
        failed = "FunctionError" in answer
        error = payload.get("errorType", "unknown") if failed else None
        return Answer(payload, error, seconds, b'"connected"' in log)

    def at_once(self, work: Callable[[str], T], request_ids: Sequence[str]) -> list[T]:
        """Do something for each request, all at the same time."""
        with ThreadPoolExecutor(len(request_ids)) as callers:
            return list(callers.map(work, request_ids))

    def balance(self) -> int:
        """What is on the accounts of this run together."""
        return sum(self._balance(account) for account in self._accounts)

    def _balance(self, account: str) -> int:
        answer = self.book(self.request_ids(1)[0], amount=0, account=account)
        require(answer.error is None, f"the balance could not be read: {answer.reason}")
        return int(answer.payload["balance"])

    def close(self) -> None:
        """Book back what was booked."""
        for account in self._accounts:
            self.book(self.request_ids(1)[0], amount=-self._balance(account), account=account)


def in_words(answers: Sequence[Answer]) -> str:
    """How long the callers waited."""
    waited = sorted(answer.seconds for answer in answers)
    return f"median {statistics.median(waited):.2f} s, slowest {waited[-1]:.2f} s"
