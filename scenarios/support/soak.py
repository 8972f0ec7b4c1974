"""A soak: thousands of events with poison, killed environments and an outage through a row that polls."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Protocol

from scenarios.framework import require, wait_until
from scenarios.support.faults import Faults

ROUNDS = 20


class Traffic(Protocol):
    """What a row is fed with."""

    function: str
    """The name of the function that is killed."""
    action: str
    """The permission whose loss is the outage."""

    def send(self, count: int) -> None:
        """Send this number of events: good ones, duplicates and poison."""

    def poisoned_only(self) -> None:
        """Check that all good events arrived, each once, and only poison failed; raise NotYet until then."""

    def recover(self) -> None:
        """Send what failed in the outage again; then check as ``poisoned_only`` does."""


def soak(
    traffic: Traffic, faults: Faults, kill: Callable[[], int], events: int, patience: float
) -> dict[str, Any]:
    """Send events and return the facts.

    Nine tenths of the events meet poison and environments that are killed while they work: what failed is
    retried, and only poison fails permanently. The last tenth meets an outage.

    Args:
        traffic: The row.
        faults: Breaks the deployed stack.
        kill: Kills the environments of the row's function, and returns how many.
        events: The number of events.
        patience: Seconds until everything must have arrived.

    Raises:
        ScenarioFailed: Something was lost or counted twice, or poison cost more than itself.
    """
    killed, began = 0, time.monotonic()
    for _ in range(ROUNDS):
        traffic.send(events * 9 // 10 // ROUNDS)
        killed += kill()
        # Each event meets one kill at most: the embedded AWS returns a failed message after a fifth of a
        # second, so on a busy machine several kills in a row could use up all attempts of a good one.
        wait_until(traffic.poisoned_only, what="everything but the poison", timeout=patience)
    require(killed > 0, "no environment was killed: the soak proves nothing")
    with faults.without_permission(faults.role_of(traffic.function), traffic.action):
        traffic.send(events // 10)
        time.sleep(3)
    wait_until(traffic.recover, what="everything after the outage", timeout=patience)
    return {"killed": killed, "seconds": round(time.monotonic() - began)}
