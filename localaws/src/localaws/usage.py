"""What AWS would bill of what was done since the last reset: amounts by principal and unit.

`services.requests.usage` counts requests to the APIs of services, and bridges what services do themselves.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextvars import ContextVar
from dataclasses import dataclass

#: As what an invocation is counted: `Lambda@Edge` has prices of its own, and a `Health check` is no event.
invoked_as: ContextVar[str] = ContextVar("localaws_invoked_as", default="Lambda")


@dataclass(frozen=True)
class Usage:
    """An amount that AWS would bill.

    Attributes:
        principal: Who caused it: the ARN of a role, without the name of the session, or of a user; the name
            of a function for what its invocations cost; empty for clients without an identity.
        operation: The operation that was called, of S3 its method; empty for what services do themselves.
        unit: The unit, such as `S3 GET requests`.
        amount: How many.
    """

    principal: str
    operation: str
    unit: str
    amount: float


class Amounts:
    """Amounts by principal, operation and unit. Several threads write to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._amounts: Counter[tuple[str, str, str]] = Counter()

    def add(self, principal: str, unit: str, amount: float = 1, operation: str = "") -> None:
        """Add an amount."""
        if ":assumed-role/" in principal:
            principal = principal.rpartition("/")[0]
        with self._lock:
            self._amounts[principal, operation, unit] += amount  # type: ignore[assignment]  # some are fractions

    def clear(self) -> None:
        """Forget all of them."""
        with self._lock:
            self._amounts.clear()

    def all(self) -> list[Usage]:
        """Return all of them."""
        with self._lock:
            return [Usage(*key, amount) for key, amount in self._amounts.items()]


def log_bytes(message: str) -> int:
    """What CloudWatch Logs counts of an event: its bytes in UTF-8, and 26.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutLogEvents.html
    """
    return len(message.encode()) + 26


amounts = Amounts()
