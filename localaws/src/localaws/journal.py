"""What was called and what was denied since the last reset, for a person who looks for a cause.

`services.iam` reports each call and each denial. A service that is denied again and again, as a poller is,
has one entry with a count.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from dataclasses import dataclass, replace

# The memory of a server that runs for long is limited.
_MOST_DENIALS, _MOST_CALLS = 1000, 10_000


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

    def __str__(self) -> str:
        """A sentence for a person."""
        often = f" ({self.times} times)" if self.times > 1 else ""
        return f"{self.principal} may not {self.action} on {self.resource}{often}: {self.why}"


class Denials:
    """The denials, oldest first. Several threads write to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._denied: dict[tuple[str, str, str, str], Denied] = {}

    def add(self, principal: str, action: str, resource: str, why: str) -> None:
        """Add a denial."""
        key, now = (principal, action, resource, why), time.time()
        with self._lock:
            before = self._denied.pop(key, Denied(*key, times=0))
            self._denied[key] = replace(before, times=before.times + 1, last=now)
            if len(self._denied) > _MOST_DENIALS:
                del self._denied[next(iter(self._denied))]

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._denied.clear()

    def all(self) -> list[Denied]:
        """Return all of them; the one that was denied last comes last."""
        with self._lock:
            return list(self._denied.values())


calls = Calls()
denials = Denials()
