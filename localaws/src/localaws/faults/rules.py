"""The rules that hold on the server, and which of them apply to a request, an invocation or a message."""

from __future__ import annotations

import fnmatch
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

#: Operations that can refuse single entries of a batch: where the request has its entries, where the answer
#: has its results, in the same order, and where it counts those that failed.
BATCHES = {
    "PutEvents": ("Entries", "Entries", "FailedEntryCount"),
    "PutRecords": ("Records", "Records", "FailedRecordCount"),
    "PutRecordBatch": ("Records", "RequestResponses", "FailedPutCount"),
}


@dataclass(frozen=True)
class Rule:
    """A fault.

    Attributes:
        kind: `api`, `function`, `queue` or `concurrency`.
        target: The services, by any of their names; or a pattern for the name of a function or queue.
        operation: Only this operation of the service.
        role: Only calls with the credentials of this role.
        error: The code of the error, or the type of the exception.
        message: Its message.
        status: The status code of the response.
        entries: How many entries of a batch are refused; None for the whole call.
        latency: Seconds before the call, or before the function runs.
        killed: Whether the execution environment of a function is killed.
        after_running: Whether the function runs before its result is lost.
        duplicates: Whether messages are delivered twice.
        disordered: Whether messages are delivered in random order.
        executions: Of the account's concurrent executions, how many are in use.
        times: How often it applies; None for always.
        probability: How probable it is each time.
        seed: The seed of its random numbers.
    """

    kind: str
    target: tuple[str, ...]
    operation: str | None = None
    role: str | None = None
    error: str | None = None
    message: str = ""
    status: int = 400
    entries: int | None = None
    latency: float = 0
    killed: bool = False
    after_running: bool = False
    duplicates: bool = False
    disordered: bool = False
    executions: int = 0
    times: int | None = None
    probability: float = 1
    seed: int = 0


@dataclass
class _Active:
    rule: Rule
    random: random.Random
    applied: int = field(default=0)


class Rules:
    """The rules, in the order in which they were added. Several threads ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._active: dict[int, _Active] = {}
        self._ended: dict[int, int] = {}

    def add(self, rule: Rule) -> int:
        """Add a rule, and return its number."""
        with self._lock:
            self._number += 1
            self._active[self._number] = _Active(rule, random.Random(rule.seed))  # noqa: S311 (repeatable)
            return self._number

    def remove(self, number: int | None = None) -> None:
        """Remove a rule, if it is there, or all of them."""
        with self._lock:
            for one in list(self._active) if number is None else {number} & self._active.keys():
                self._ended[one] = self._active.pop(one).applied

    def applied(self, number: int) -> int:
        """How often a rule has been applied, also if it has ended."""
        with self._lock:
            found = self._active.get(number)
            return found.applied if found else self._ended.get(number, 0)

    def has(self, kind: str) -> bool:
        """Whether there are rules of a kind. Without any, nothing else is computed."""
        return any(one.rule.kind == kind for one in list(self._active.values()))

    def applying(self, kind: str, concerns: Callable[[Rule], bool]) -> Rule | None:
        """The first rule that applies this time, which counts as applied.

        Args:
            kind: Its kind.
            concerns: Whether a rule is about the request, function or message.
        """
        with self._lock:
            for one in self._active.values():
                rule = one.rule
                spent = rule.times is not None and one.applied >= rule.times
                if rule.kind != kind or spent or not concerns(rule):
                    continue
                if one.random.random() < rule.probability:
                    one.applied += 1
                    return rule
        return None

    def shuffle(self, name: str, messages: list[Any]) -> None:
        """Put messages into a random order, if a rule for the queue says so."""
        with self._lock:
            for one in self._active.values():
                if one.rule.kind == "queue" and one.rule.disordered and matches(one.rule, name):
                    one.random.shuffle(messages)
                    one.applied += 1


def matches(rule: Rule, name: str) -> bool:
    """Whether the pattern of a rule matches the name of a function or queue."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in rule.target)


rules = Rules()
