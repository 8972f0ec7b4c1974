"""Time of an invocation → a share for each record, so that a slow one costs its own share only."""

import random
import time
from collections.abc import Iterator
from typing import Protocol

from shared.clients import LONGEST_CALL

# What the handler itself needs at the end.
_MARGIN = 0.5


class Clock(Protocol):
    """The part of Lambda's context object that is needed here."""

    def get_remaining_time_in_millis(self) -> int:
        """The time until Lambda stops the invocation."""


class OutOfTime(Exception):
    """The invocation ends too soon for another call; the record is tried again in the next one."""


class Shares:
    """Divides the time that an invocation has left among the records that are left.

    Args:
        clock: Lambda's context object.
        records: The number of records.
    """

    def __init__(self, clock: Clock, records: int) -> None:
        self._clock = clock
        self._records = records

    def next(self) -> float:
        """Return the share of the next record, in seconds.

        Raises:
            OutOfTime: A call that hangs would run into the time limit, which fails all records of the batch.
        """
        left = self._clock.get_remaining_time_in_millis() / 1000 - _MARGIN
        share, self._records = left / max(self._records, 1), self._records - 1
        if left < LONGEST_CALL:
            raise OutOfTime(f"{left:.1f} seconds are left, and a call takes up to {LONGEST_CALL}")
        return share


def attempts(seconds: float) -> Iterator[None]:
    """Yield once for each attempt that fits into a time, with random pauses between them.

    Without the randomness, those who collided would collide again:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    end, longest = time.monotonic() + seconds, 0.05
    while True:
        yield
        pause = random.uniform(0, longest)  # noqa: S311 - no secret
        longest = min(2 * longest, 1)
        if time.monotonic() + pause >= end:
            return
        time.sleep(pause)
