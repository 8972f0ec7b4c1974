"""What was called, used and denied since the last reset, for a person who looks for a cause.

`services.iam` reports each call, each permission that was used, and each denial. A service that is denied
again and again, as a poller is, has one entry with a count.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

# The memory of a server that runs for long is limited.
_MOST_DENIALS, _MOST_USES, _MOST_CALLS = 1000, 10_000, 10_000


@dataclass(frozen=True)
class Call:
    """A request that was authorised, or was not.

    Attributes:
        number: Its place in the order of all calls.
        at: When, in seconds since 1970.
        principal: The ARN of the caller.
        action: The action, such as `s3:PutObject`.
        resource: The ARN of the resource, or `*`.
        allowed: Whether IAM allowed it.
    """

    number: int
    at: float
    principal: str
    action: str
    resource: str
    allowed: bool


class Calls:
    """The latest calls, oldest first. Several threads write to it."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._calls: deque[Call] = deque(maxlen=_MOST_CALLS)

    def add(self, principal: str, action: str, resource: str, *, allowed: bool) -> None:
        """Add a call."""
        self._calls.append(Call(next(self._numbers), time.time(), principal, action, resource, allowed))

    def clear(self) -> None:
        """Forget all of them."""
        self._calls.clear()

    def after(self, number: int) -> list[Call]:
        """Return the calls after the one with this number."""
        return [one for one in self._calls.copy() if one.number > number]


@dataclass(frozen=True)
class Denied:
    """Something that IAM did not allow.

    Attributes:
        principal: The ARN of the caller, or the service.
        action: The action, such as `s3:PutObject`.
        resource: The ARN of the resource, or `*`.
        why: Which policy has no statement for it, or has one that denies it.
        times: How often it was denied.
        last: When it was denied last, in seconds since 1970.
    """

    principal: str
    action: str
    resource: str
    why: str
    times: int = 1
    last: float = 0

    @property
    def key(self) -> tuple[str, ...]:
        """What is the same in a denial that is repeated."""
        return self.principal, self.action, self.resource, self.why

    def __str__(self) -> str:
        """A sentence for a person."""
        often = f" ({self.times} times)" if self.times > 1 else ""
        return f"{self.principal} may not {self.action} on {self.resource}{often}: {self.why}"


@dataclass(frozen=True)
class Used:
    """A permission that policies of a role or user gave, and that was needed.

    Attributes:
        principal: The ARN of the caller; of an assumed role without the name of the session.
        action: The action, such as `s3:PutObject`.
        resource: The ARN of the resource, or `*`.
        times: How often it was used.
        last: When it was used last, in seconds since 1970.
    """

    principal: str
    action: str
    resource: str
    times: int = 1
    last: float = 0

    @property
    def key(self) -> tuple[str, ...]:
        """What is the same in a use that is repeated."""
        return self.principal, self.action, self.resource


_Counted = TypeVar("_Counted", Denied, Used)


class Counts(Generic[_Counted]):
    """What happens again and again: an entry each, with a count. Several threads write to it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, ...], _Counted] = {}

    def add(self, entry: _Counted) -> None:
        """Add an entry, or count it again if there is one with the same key."""
        now = time.time()
        with self._lock:
            before = self._entries.pop(entry.key, None)
            self._entries[entry.key] = replace(entry, times=before.times + 1 if before else 1, last=now)
            if len(self._entries) > self._most:
                del self._entries[next(iter(self._entries))]

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._entries.clear()

    def all(self) -> list[_Counted]:
        """Return all of them; the latest comes last."""
        with self._lock:
            return list(self._entries.values())


calls = Calls()
denials: Counts[Denied] = Counts(_MOST_DENIALS)
uses: Counts[Used] = Counts(_MOST_USES)
