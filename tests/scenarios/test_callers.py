"""The shares of callers: which counts of a phase are accepted."""

from __future__ import annotations

from fractions import Fraction

import pytest

from scenarios.delivery.canary_alias.callers import Call, Phase
from scenarios.framework import ScenarioFailed

CANARY = {"1": Fraction(9, 10), "2": Fraction(1, 10)}


def phase(shares: dict[str, Fraction], **answered: int) -> Phase:
    """A phase in which each version answered so many calls: ``v1=900``."""
    calls = [
        Call(0, 1, version.removeprefix("v"), failed=False)
        for version, count in answered.items()
        for _ in range(count)
    ]
    return Phase(shares, 0, 1, calls)


@pytest.mark.parametrize(("old", "new"), [(900, 100), (930, 70), (860, 140)])
def test_a_share_that_chance_explains_is_accepted(old: int, new: int) -> None:
    phase(CANARY, v1=old, v2=new).check()


@pytest.mark.parametrize(("old", "new"), [(1000, 0), (970, 30), (500, 500), (100, 900)])
def test_a_share_that_chance_does_not_explain_is_rejected(old: int, new: int) -> None:
    with pytest.raises(ScenarioFailed, match="it should be"):
        phase(CANARY, v1=old, v2=new).check()


def test_a_single_call_of_another_version_is_rejected() -> None:
    phase({"1": Fraction(1)}, v1=1000).check()
    with pytest.raises(ScenarioFailed, match="versions \\['2'\\] ran"):
        phase({"1": Fraction(1)}, v1=1000, v2=1).check()
