"""Environment variables, read strictly: an error names the variable and says what is allowed."""

from collections.abc import Callable, Mapping
from typing import TypeVar

T = TypeVar("T")


def read(environment: Mapping[str, str], variable: str, parse: Callable[[str], T]) -> T:
    """Return the value of a variable.

    Args:
        environment: The variables.
        variable: The name of the variable.
        parse: Converts its text, or raises ``ValueError`` with what is allowed.

    Raises:
        ValueError: The variable is missing or its value is not allowed.
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


def boolean(value: str) -> bool:
    """Read ``true`` or ``false``.

    Raises:
        ValueError: It is neither.
    """
    if value not in ("true", "false"):
        raise ValueError("give 'true' or 'false'")
    return value == "true"
