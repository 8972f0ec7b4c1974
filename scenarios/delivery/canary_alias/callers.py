"""Callers that keep invoking an alias, and how many calls each version got during a release."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from scenarios.framework import DeployedStack, require
from scenarios.support import charts
from scenarios.support.shares import bounds

_CALLERS = 4
_PAUSE = 0.02  # seconds between the calls of one caller, so that the release itself gets the processor
_LOOKS_PER_SECOND = 20
_PARTS = 30  # of the time that a chart shows

Shares = Mapping[str, Fraction]
"""The share of the calls that an alias sends to each version."""


@dataclass(frozen=True)
class Call:
    """One call of the alias.

    Args:
        began: When, on the clock of `time.monotonic`.
        ended: When the response had arrived.
        version: The version that ran.
        failed: Whether that version raised an error.
    """

    began: float
    ended: float
    version: str
    failed: bool


@dataclass
class Phase:
    """A period in which the alias had the same versions and weights whenever it was read.

    Args:
        shares: The share of the calls that each version should get.
        first_seen: When the alias was first seen in this state.
        last_seen: When it was last seen in this state.
        calls: The calls between the two.
    """

    shares: Shares
    first_seen: float
    last_seen: float
    calls: list[Call] = field(default_factory=list)

    @property
    def counts(self) -> Counter[str]:
        """How many calls each version got."""
        return Counter(call.version for call in self.calls)

    def check(self) -> None:
        """Check that every version got its share, as exactly as this number of calls can show.

        Raises:
            ScenarioFailed: A version got more or less than chance explains in all but one of a million runs.
        """
        others = sorted(self.counts.keys() - self.shares.keys())
        require(not others, f"versions {others} ran although the alias pointed at {self}")
        for version, share in self.shares.items():
            low, high = bounds(len(self.calls), share)
            require(
                low <= self.counts[version] <= high,
                f"version {version} got {self.counts[version]} of {len(self.calls)} calls; with a share of "
                f"{float(share):.0%} it should be {low} to {high}",
            )

    def __str__(self) -> str:
        return ", ".join(f"{float(share):.0%} version {version}" for version, share in self.shares.items())


class Callers:
    """Background callers of an alias.

    Args:
        stack: The stack.
        alias_arn: The alias.
    """

    def __init__(self, stack: DeployedStack, alias_arn: str) -> None:
        self._lambda = stack.client("lambda")
        self._alias_arn = alias_arn
        self._articles = itertools.count(1)
        self._stopping = threading.Event()
        self.calls: list[Call] = []
        self._phases: list[Phase] = []
        self._looks = 0

    def call(self) -> tuple[Call, Any]:
        """Request the price of the next article; returns the call and the response."""
        began = time.monotonic()
        response = self._lambda.invoke(
            FunctionName=self._alias_arn, Payload=json.dumps({"article": next(self._articles)}).encode()
        )
        payload = json.loads(response["Payload"].read())
        failed = "FunctionError" in response
        return Call(began, time.monotonic(), response["ExecutedVersion"], failed), payload

    def shares(self) -> dict[str, Fraction]:
        """Return the versions that the alias points at now, with their shares."""
        function, _, alias = self._alias_arn.rpartition(":")
        found = self._lambda.get_alias(FunctionName=function, Name=alias)
        weights = (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
        others = {version: Fraction(str(weight)) for version, weight in weights.items()}
        return {found["FunctionVersion"]: 1 - sum(others.values(), Fraction(0)), **others}

    def phases(self) -> list[Phase]:
        """Return the states of the alias in order, each with its calls."""
        for phase in self._phases:
            phase.calls = [
                call
                for call in self.calls
                if phase.first_seen <= call.began and call.ended <= phase.last_seen
            ]
        return self._phases

    def chart(self, title: str) -> charts.Shares:
        """The calls that got the new version, and the share that the alias was set to."""
        phases, began = self.phases(), min(call.began for call in self.calls)
        [old] = phases[0].shares
        calls = [(call.began - began, call.version != old) for call in self.calls]
        part = (max(call.ended for call in self.calls) - began) / _PARTS
        counted = []
        for number in range(_PARTS):
            got = [is_new for when, is_new in calls if number <= when / part < number + 1]
            if got:
                counted.append((number * part, (number + 1) * part, sum(got) / len(got)))
        wanted = [
            (max(phase.first_seen - began, 0), float(1 - phase.shares.get(old, Fraction(0))))
            for phase in phases
        ]
        failed = [call.began - began for call in self.calls if call.failed]
        return charts.Shares(title, _PARTS * part, counted, wanted, failed)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Call and watch the alias while the body runs, and for a second or more before and after it."""
        with ThreadPoolExecutor(_CALLERS + 1) as pool:
            background = [pool.submit(self._keep_calling) for _ in range(_CALLERS)]
            background.append(pool.submit(self._keep_watching))
            try:
                self._see_the_present_state(background)
                yield
                self._see_the_present_state(background)
            finally:
                self._stopping.set()
        for one in background:
            one.result()  # raises what ended it early

    def _see_the_present_state(self, background: list[Future[None]]) -> None:
        looks = self._looks + 3
        time.sleep(1)  # for some calls in this state; on a busy machine, it takes longer until it is seen
        while self._looks < looks and not any(one.done() for one in background):
            time.sleep(1 / _LOOKS_PER_SECOND)

    def _keep_calling(self) -> None:
        while not self._stopping.is_set():
            self.calls.append(self.call()[0])
            self._stopping.wait(_PAUSE)

    def _keep_watching(self) -> None:
        while not self._stopping.is_set():
            asked = time.monotonic()
            shares = self.shares()
            answered = time.monotonic()
            # The alias was in this state at some moment between the two, so a phase lasts from the end of its
            # first look to the start of its last one.
            if self._phases and self._phases[-1].shares == shares:
                self._phases[-1].last_seen = asked
            else:
                self._phases.append(Phase(shares, answered, answered))
            self._looks += 1
            self._stopping.wait(1 / _LOOKS_PER_SECOND)
