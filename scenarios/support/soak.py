"""A soak: thousands of events with poison, killed environments and an outage through a row that polls."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Protocol

from scenarios.framework import require, wait_until
from scenarios.support.faults import Faults

ROUNDS = 20
# One fewer than the fewest attempts of a row: an event may meet each of them.
KILLS_IN_A_ROW = 2


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
    killed, began, chance = 0, time.monotonic(), random.Random(28)
    for _ in range(ROUNDS):
        traffic.send(events * 9 // 10 // ROUNDS)
        for _ in range(KILLS_IN_A_ROW):
            killed += kill()
            time.sleep(chance.uniform(0.1, 0.5))  # the embedded AWS returns failed messages after 0.2 s
        wait_until(traffic.poisoned_only, what="everything but the poison", timeout=patience)
    require(killed > 0, "no environment was killed: the soak proves nothing")
    with faults.without_permission(faults.role_of(traffic.function), traffic.action):
        traffic.send(events // 10)
        time.sleep(3)  # some events use up their attempts; how many does not matter
    wait_until(traffic.recover, what="everything after the outage", timeout=patience)
    return {"killed": killed, "seconds": round(time.monotonic() - began)}
