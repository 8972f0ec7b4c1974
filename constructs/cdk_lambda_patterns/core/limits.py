"""Limits of AWS, checked when a construct is made, with messages that say what to do.

Every check lets tokens pass: their values are known only when the stack is deployed.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

from aws_cdk import Duration, Size, SizeRoundingBehavior, Token, Tokenization

Unit = Literal["milliseconds", "seconds", "minutes", "days"]
_LABELS = {"milliseconds": "millis", "seconds": "seconds", "minutes": "minutes", "days": "days"}


@dataclass(frozen=True)
class Limit:
    """A range of values that a service allows, both ends included.

    Args:
        service: The service that sets the limit: ``"Lambda"``.
        low: The smallest value allowed.
        high: The largest value allowed.
        unit: The unit of the values: ``"MB"``; ``"seconds"`` for durations. Empty for a plain number.
        whole: Whether the service takes whole numbers only, as nearly all do.

    Example::

        _MEMORY = Limit("Lambda", 128, 10_240, "MB")
        _MEMORY.check("memory_size", 64)  # ValueError: memory_size=64: Lambda allows 128 to 10,240 MB; ...
    """

    service: str
    low: float
    high: float
    unit: str = ""
    whole: bool = True

    def check(self, name: str, value: float | Duration | Size | None) -> None:
        """Check a number, a duration (in seconds) or a size (in MiB, which Lambda calls MB).

        Args:
            name: The argument, as the caller wrote it.
            value: What was given; ``None`` (not given) passes.

        Raises:
            ValueError: The value is outside the limit.
        """
        if value is None:
            return
        if isinstance(value, Duration | Size):
            amount = _amount(value)
            if amount is None:
                return
            value = amount
        # Asking whether a number is a token goes through jsii, comparing does not: the usual case is cheap.
        fraction = self.whole and (value % 1 != 0 or isinstance(value, bool))
        if self.low <= value <= self.high and not fraction:
            return
        if math.isfinite(value) and Token.is_unresolved(value):  # jsii ends when it is asked about infinity
            return
        unit = f" {self.unit}" if self.unit else ""
        if fraction:
            unit += ", whole numbers only"
        raise ValueError(
            f"{name}={value:,}: {self.service} allows {self.low:,} to {self.high:,}{unit}; "
            "choose a value in that range."
        )


def _amount(value: Duration | Size) -> float | None:
    try:
        if isinstance(value, Duration):
            return value.to_seconds(integral=False)
        return value.to_mebibytes(rounding=SizeRoundingBehavior.NONE)
    except RuntimeError:
        if value.is_unresolved():  # a token in another unit: it cannot be converted
            return None
        raise


def number_in(unit: Unit, name: str, value: Duration) -> float:
    """Return a duration as a number of a unit, which is a token if the duration is one.

    Args:
        unit: The unit.
        name: The argument, as the caller wrote it.
        value: What was given.

    Raises:
        ValueError: It is a token in another unit: CloudFormation does not calculate.
    """
    if value.is_unresolved() and value.unit_label() != _LABELS[unit]:
        raise ValueError(
            f"{name}: its value is known only when the stack is deployed, and CloudFormation cannot convert "
            f"{value.unit_label()}; give Duration.{_LABELS[unit]}(...)."
        )
    match unit:
        case "milliseconds":
            return value.to_milliseconds(integral=False)
        case "seconds":
            return value.to_seconds(integral=False)
        case "minutes":
            return value.to_minutes(integral=False)
        case "days":
            return value.to_days(integral=False)


def text_of(value: float) -> str:
    """Return a number as text, for an environment variable or a statement; that of a token is a token."""
    if Token.is_unresolved(value):
        return Tokenization.stringify_number(value)
    return str(int(value)) if value == int(value) else repr(value)


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Check that a string is one of the allowed ones.

    Args:
        name: The argument, as the caller wrote it.
        value: What was given.
        allowed: The choices; ``typing.get_args`` of a ``Literal``.

    Raises:
        ValueError: It is none of them.
    """
    if value not in allowed and not Token.is_unresolved(value):
        raise ValueError(f"{name}={value!r}: choose one of {', '.join(map(repr, allowed))}.")


def check_strings(name: str, values: Sequence[str]) -> None:
    """Check that a sequence of strings was given, and not one string, which is a sequence of its letters.

    Args:
        name: The argument, as the caller wrote it.
        values: What was given. A list token passes.

    Raises:
        ValueError: It is a single string.
    """
    if isinstance(values, str):
        raise ValueError(f"{name}={values!r}: give a sequence of strings, such as ({values!r},).")
