"""Environment variables, read strictly: whatever is wrong with one is said with its name."""

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def read(environment: Mapping[str, str], variable: str, parse: Callable[[str], T]) -> T:
    """Return the value of a variable.

    Args:
        environment: The variables.
        variable: The name of one.
        parse: Makes a value of its text, or raises ``ValueError`` with what is allowed.

    Raises:
        ValueError: It is missing or not allowed.
    """
    if variable not in environment:
        raise ValueError(f"the environment variable {variable} is missing; set it on the function")
    value = environment[variable]
    try:
        return parse(value)
    except ValueError as error:
        raise ValueError(f"the environment variable {variable}={value!r}: {error}") from None


def name(value: str) -> str:
    """Read a name.

    Raises:
        ValueError: It is empty.
    """
    if not value:
        raise ValueError("must not be empty")
    return value
