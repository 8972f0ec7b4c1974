"""Checks that a count matches its share, exactly: only a difference that chance cannot explain fails."""

from __future__ import annotations

from fractions import Fraction


def bounds(calls: int, share: str | Fraction, *, risk: Fraction = Fraction(1, 10**6)) -> tuple[int, int]:
    """Return the smallest and the largest count to accept for a binomial variable, without approximation.

    Args:
        calls: How many calls there were.
        share: The probability that a call counts, as text or fraction, so that 0.1 is exactly a tenth.
        risk: The probability that a correct run fails; half of it on each side.

    Example:
        >>> bounds(1000, "0.1")
        (57, 149)
    """
    p = Fraction(share)
    low = _tail(calls, p, risk / 2)
    high = calls - _tail(calls, 1 - p, risk / 2)
    return low, high


def _tail(calls: int, share: Fraction, risk: Fraction) -> int:
    """Return the smallest count such that this one and all smaller ones are more probable than the risk."""
    if share == 1:
        return calls
    # Integers, as multiples of the smallest probability that occurs: exact, and fast.
    taken, left = share.numerator, share.denominator - share.numerator
    limit = risk.numerator * share.denominator**calls
    term = left**calls
    probability, count = term, 0
    while probability * risk.denominator <= limit:
        term = term * (calls - count) * taken // ((count + 1) * left)
        count += 1
        probability += term
    return count
