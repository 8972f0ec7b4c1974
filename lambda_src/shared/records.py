"""Handles the records of one invocation one by one, so that what fails costs itself alone."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import TypeVar

Record = TypeVar("Record")


def handle_each(records: Iterable[Record], handle: Callable[[Record], str]) -> dict[str, int]:
    """Handle every record, and raise what failed when all others are done.

    Args:
        records: The records.
        handle: Handles one and says what the outcome was. What it raises is to be tried again.

    Returns:
        How many records had which outcome.

    Raises:
        Exception: One record failed.
        ExceptionGroup: Several records failed.
    """
    outcomes: Counter[str] = Counter()
    to_retry: list[Exception] = []
    for record in records:
        try:
            outcomes[handle(record)] += 1
        except Exception as error:  # the other records come first
            to_retry.append(error)
    if len(to_retry) == 1:
        raise to_retry[0]
    if to_retry:
        raise ExceptionGroup(f"{len(to_retry)} records will be tried again", to_retry)
    return dict(outcomes)
