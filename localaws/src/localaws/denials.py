"""What was denied since the last reset, and why: for a person who looks for the missing permission.

`services.iam` reports each denial. A service that tries again and again, as a poller does, is one entry.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace

# So that a test that is denied millions of times ends.
_MOST = 1000


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


class Log:
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
            if len(self._denied) > _MOST:
                del self._denied[next(iter(self._denied))]

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._denied.clear()

    def all(self) -> list[Denied]:
        """Return all of them; the one that was denied last comes last."""
        with self._lock:
            return list(self._denied.values())


log = Log()
