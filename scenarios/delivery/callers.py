"""Callers of an alias who never stop, and what of each version they got while a release went on."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from scenarios.framework import DeployedStack, require
from scenarios.support.shares import bounds

_CALLERS = 4
_LOOKS_A_SECOND = 20

Shares = Mapping[str, Fraction]


@dataclass(frozen=True)
class Call:
    """What one caller got.

    Args:
        began: When, on the clock of `time.monotonic`.
        ended: When the answer was there.
        version: Which version answered.
        failed: Whether that version raised an error.
    """

    began: float
    ended: float
    version: str
    failed: bool


@dataclass
class Phase:
    """A time in which an alias led to the same versions in the same shares, as far as it was looked at.

    Args:
        shares: The share of the callers that each version should get.
        first_seen: When the alias was first seen so.
        last_seen: When it was last seen so.
        calls: Those that lie between the two.
    """

    shares: Shares
    first_seen: float
    last_seen: float
    calls: list[Call] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """How many calls each version answered."""
        return Counter(call.version for call in self.calls)

    def check(self) -> None:
        """See that every version got its share, as exactly as so many calls can tell.

        Raises:
            ScenarioFailed: A version got more or less than chance explains once in a million runs.
        """
        strangers = set(self.counts) - set(self.shares)
        require(not strangers, f"versions {sorted(strangers)} answered, and the alias led to {self.shown()}")
        for version, share in self.shares.items():
            low, high = bounds(len(self.calls), share)
            require(
                low <= self.counts[version] <= high,
                f"version {version} answered {self.counts[version]} of {len(self.calls)} calls; with a share "
                f"of {float(share):.0%} it should be {low} to {high}",
            )

    def shown(self) -> str:
        """The versions and their shares, for a person."""
        return ", ".join(f"{float(share):.0%} version {version}" for version, share in self.shares.items())


class Callers:
    """Callers of an alias, in the background.

    Args:
        stack: The stack.
        alias_arn: What they call.
    """

    def __init__(self, stack: DeployedStack, alias_arn: str) -> None:
        self._lambda = stack.client("lambda")
        self._alias_arn = alias_arn
        self._articles = itertools.count(1)
        self._stopping = threading.Event()
        self._errors: list[BaseException] = []
        self.calls: list[Call] = []
        self._phases: list[Phase] = []

    def call(self) -> tuple[Call, Any]:
        """Ask for the price of the next article; returns what that took, and the answer."""
        began = time.monotonic()
        answer = self._lambda.invoke(
            FunctionName=self._alias_arn, Payload=json.dumps({"article": next(self._articles)}).encode()
        )
        payload = json.loads(answer["Payload"].read())
        failed = "FunctionError" in answer
        return Call(began, time.monotonic(), answer["ExecutedVersion"], failed), payload

    def shares(self) -> dict[str, Fraction]:
        """Where the alias leads now, and which share of the calls."""
        function, _, alias = self._alias_arn.rpartition(":")
        found = self._lambda.get_alias(FunctionName=function, Name=alias)
        weights = (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        others = {version: Fraction(str(weight)) for version, weight in weights.items()}
        return {found["FunctionVersion"]: 1 - sum(others.values(), Fraction(0)), **others}

    def phases(self) -> list[Phase]:
        """What the alias was seen to be, one after the other, with the calls in each."""
        for phase in self._phases:
            phase.calls = [
                call
                for call in self.calls
                if phase.first_seen <= call.began and call.ended <= phase.last_seen
            ]
        return self._phases

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Call and look at the alias while the body runs, a little before it and a little after it.

        Raises:
            BaseException: A caller or looker failed otherwise than by an error of the function.
        """
        work = [self._keep_calling] * _CALLERS + [self._keep_looking]
        threads = [threading.Thread(target=self._guarded, args=(one,), daemon=True) for one in work]
        for thread in threads:
            thread.start()
        try:
            time.sleep(1)
            yield
            time.sleep(1)
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()
        for error in self._errors:
            raise error

    def _guarded(self, work: Any) -> None:
        try:
            while not self._stopping.is_set():
                work()
        except BaseException as error:  # raised where the callers are waited for
            self._errors.append(error)

    def _keep_calling(self) -> None:
        self.calls.append(self.call()[0])

    def _keep_looking(self) -> None:
        asked = time.monotonic()
        shares = self.shares()
        answered = time.monotonic()
        # It was so at some moment between the two: what began after, and ended before, surely met it.
        if self._phases and self._phases[-1].shares == shares:
            self._phases[-1].last_seen = asked
        else:
            self._phases.append(Phase(shares, answered, answered))
        self._stopping.wait(1 / _LOOKS_A_SECOND)
