"""How far from its share a count may be before chance is no explanation."""

from __future__ import annotations

from fractions import Fraction
from math import comb


def bounds(calls: int, share: str | Fraction, *, risk: Fraction = Fraction(1, 10**6)) -> tuple[int, int]:
    """Between which counts a binomial variable is, but for a risk: exact, without an approximation.

    Args:
        calls: How many calls there were.
        share: Which share of them was to be counted, as text or fraction, so that 0.1 is a tenth.
        risk: How often a run may fail although all is well; half of it on each side.

    Example:
        >>> bounds(1000, "0.1")
        (57, 149)
    """
    p = Fraction(share)
    low = _tail(calls, p, risk / 2)
    high = calls - _tail(calls, 1 - p, risk / 2)
    return low, high


def _tail(calls: int, share: Fraction, risk: Fraction) -> int:
    """The smallest count that is not as improbable as the risk, counting from nothing."""
    probability, count = Fraction(0), 0
    while True:
        probability += comb(calls, count) * share**count * (1 - share) ** (calls - count)
        if probability > risk:
            return count
        count += 1
