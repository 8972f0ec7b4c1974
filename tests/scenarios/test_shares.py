"""The bounds of a share are exact."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest

from scenarios.support.shares import bounds


def probability(counts: range, calls: int, share: Fraction) -> Fraction:
    """The probability of one of these counts."""
    return sum((comb(calls, n) * share**n * (1 - share) ** (calls - n) for n in counts), Fraction(0))


@pytest.mark.parametrize(("calls", "share"), [(1000, "0.1"), (60, "0.5"), (200, "0.03"), (50, "0.9")])
def test_counts_outside_the_bounds_are_as_improbable_as_requested_and_one_more_is_not(
    calls: int, share: str
) -> None:
    (low, high), p, risk = bounds(calls, share), Fraction(share), Fraction(1, 2_000_000)
    assert probability(range(low), calls, p) <= risk < probability(range(low + 1), calls, p)
    above = range(high + 1, calls + 1)
    assert probability(above, calls, p) <= risk < probability(range(high, calls + 1), calls, p)


@pytest.mark.parametrize(("share", "count"), [("0", 0), ("1", 20)])
def test_a_certain_outcome_has_one_count(share: str, count: int) -> None:
    assert bounds(20, share) == (count, count)
