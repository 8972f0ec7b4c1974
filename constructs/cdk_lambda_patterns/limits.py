"""Checks of arguments against the limits of AWS, with messages that say how to go on.

Every check lets tokens pass: their values are known only when the stack is deployed.
"""

from collections.abc import Collection

from aws_cdk import Duration, Size, Token


def check_range(name: str, value: float | None, low: float, high: float, *, unit: str, allows: str) -> None:
    """Check that a number is within a limit, both ends included.

    Args:
        name: The argument, as the caller wrote it.
        value: What was given; ``None`` (not given) passes.
        low: The smallest value allowed.
        high: The largest value allowed.
        unit: The unit of the numbers, for the message; may be empty.
        allows: Who sets the limit, as the start of a sentence: ``"Lambda allows"``.

    Raises:
        ValueError: The number is outside of the limit.
    """
    # The token check asks jsii, the comparison does not: the usual case stays cheap.
    if value is None or low <= value <= high or Token.is_unresolved(value):
        return
    raise ValueError(
        f"{name}={value:,}: {allows} {low:,} to {high:,}{' ' + unit if unit else ''}; "
        f"choose a value in that range."
    )


def check_duration(name: str, value: Duration | None, low: int, high: int, *, allows: str) -> None:
    """Check that a duration is within a limit given in seconds.

    Raises:
        ValueError: The duration is outside of the limit.
    """
    if value is not None and not value.is_unresolved():
        check_range(name, value.to_seconds(), low, high, unit="seconds", allows=allows)


def check_size(name: str, value: Size | None, low: int, high: int, *, allows: str) -> None:
    """Check that a size is within a limit given in MiB (what Lambda calls MB).

    Raises:
        ValueError: The size is outside of the limit.
    """
    if value is not None and not value.is_unresolved():
        check_range(name, value.to_mebibytes(), low, high, unit="MB", allows=allows)


def check_choice(name: str, value: str, allowed: Collection[str]) -> None:
    """Check that a word is one of a few.

    Raises:
        ValueError: The word is none of them.
    """
    if value not in allowed and not Token.is_unresolved(value):
        raise ValueError(f"{name}={value!r}: choose one of {', '.join(map(repr, allowed))}.")
