"""How far from its share a count may be before chance is no explanation."""

from __future__ import annotations

from fractions import Fraction


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
    if share == 1:
        return calls
    # Whole numbers, as multiples of what a single outcome has at the least: exact, and fast.
    taken, left = share.numerator, share.denominator - share.numerator
    limit = risk.numerator * share.denominator**calls
    term = left**calls
    probability, count = term, 0
    while probability * risk.denominator <= limit:
        term = term * (calls - count) * taken // ((count + 1) * left)
        count += 1
        probability += term
    return count
