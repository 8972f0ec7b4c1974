"""Settings that the environment of the process may have, which starts the embedded AWS."""

from __future__ import annotations

import math
import os


class SettingError(ValueError):
    """A variable has a value that is not allowed."""


def numbers(
    variable: str, default: str, allowed: str, *, low: float = 0, high: float = math.inf
) -> tuple[float, ...]:
    """Return the numbers in a variable, as many as in its default.

    Args:
        variable: Its name.
        default: Numbers, with commas between them.
        allowed: What is allowed, for the message.
        low: The smallest number allowed.
        high: The largest one.

    Raises:
        SettingError: It has other numbers, or something else.
    """
    given = os.environ.get(variable, default)
    try:
        found = tuple(float(part) for part in given.split(","))
    except ValueError:
        found = ()
    if len(found) != len(default.split(",")) or not all(low <= one <= high for one in found):
        raise SettingError(f"{variable}={given!r}: give {allowed}, such as {default!r}.")
    return found
