"""When and how often an attempt is repeated, with a database that fails as told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import pytest

from tests.handlers.data.rds_proxy.conftest import ENVIRONMENT
from tests.handlers.loading import LoadedHandler


class Failure(Exception):
    """An error of the fake database."""

    def __init__(self, trouble: str) -> None:
        super().__init__(trouble)
        self.trouble = trouble


class FakeEngine:
    """Fails the first attempts, as told: ``connect:BROKEN`` fails the connection, ``BUSY`` the booking."""

    errors = (Failure,)

    def __init__(self, rds_proxy: LoadedHandler, failures: Iterable[str]) -> None:
        self._trouble = rds_proxy.shared.database.Trouble
        self._failures = list(failures)
        self.calls: list[str] = []
        self.tokens: list[str] = []

    def connect(self, settings: Any, token: str) -> FakeEngine:
        self.calls.append("connect")
        self.tokens.append(token)
        if self._failures and self._failures[0].startswith("connect:"):
            raise Failure(self._failures.pop(0).removeprefix("connect:"))
        return self

    def diagnose(self, error: Failure) -> Any:
        return self._trouble[error.trouble]

    def is_open(self, _: object) -> bool:  # noqa: D102
        return True

    def book(self, _: object, booking: object) -> object:  # noqa: D102
        self.calls.append("book")
        if self._failures:
            raise Failure(self._failures.pop(0))
        return booking

    def make_tables(self, _: object) -> None:  # noqa: D102
        self.calls.append("make tables")

    def close(self) -> None:  # noqa: D102
        self.calls.append("close")


class Time:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:  # noqa: D102
        self.pauses.append(seconds)

    def now(self) -> float:  # noqa: D102
        return sum(self.pauses)


@pytest.fixture
def time() -> Time:
    return Time()


def book(
    rds_proxy: LoadedHandler, engine: FakeEngine, time: Time, seconds: float = 60, times: int = 1
) -> None:
    settings = rds_proxy.settings.Settings.from_environment(ENVIRONMENT)
    database = rds_proxy.shared.database.Database(engine, settings, sleep=time.sleep, clock=time.now)
    for number in range(times):
        booking = rds_proxy.bookings.Booking(f"r{number}", "ann", 5)
        assert database.run(partial(engine.book, booking=booking), seconds=seconds) is booking


@pytest.mark.parametrize(
    ("failures", "calls"),
    [
        ([], ["connect", "book"]),
        (["BUSY"], ["connect", "book", "book"]),
        (["BROKEN"], ["connect", "book", "close", "connect", "book"]),
        (["connect:BROKEN", "connect:BROKEN"], ["connect", "connect", "connect", "book"]),
        (["NO_TABLES"], ["connect", "book", "make tables", "book"]),
    ],
)
def test_each_trouble_is_met_in_its_own_way(
    rds_proxy: LoadedHandler,
    credentials: Mapping[str, str],
    time: Time,
    failures: list[str],
    calls: list[str],
) -> None:
    engine = FakeEngine(rds_proxy, failures)
    book(rds_proxy, engine, time)
    assert engine.calls == calls


@pytest.mark.parametrize("failure", ["FINAL", "connect:FINAL"])
def test_what_would_fail_again_is_not_tried_again(
    rds_proxy: LoadedHandler, credentials: Mapping[str, str], time: Time, failure: str
) -> None:
    engine = FakeEngine(rds_proxy, [failure])
    with pytest.raises(Failure, match="FINAL"):
        book(rds_proxy, engine, time)
    assert time.pauses == []


def test_the_number_of_attempts_is_bounded(
    rds_proxy: LoadedHandler, credentials: Mapping[str, str], time: Time
) -> None:
    engine = FakeEngine(rds_proxy, ["BUSY"] * 100)
    with pytest.raises(Failure, match="BUSY"):
        book(rds_proxy, engine, time)
    assert engine.calls.count("book") == rds_proxy.shared.database.MOST_ATTEMPTS


def test_no_attempt_begins_after_the_time_is_up(
    rds_proxy: LoadedHandler, credentials: Mapping[str, str], time: Time
) -> None:
    engine = FakeEngine(rds_proxy, ["BUSY"] * 100)
    with pytest.raises(Failure, match="BUSY"):
        book(rds_proxy, engine, time, seconds=0.01)
    assert sum(time.pauses) < 0.01


def test_pauses_grow_have_an_end_and_differ(rds_proxy: LoadedHandler, credentials: Mapping[str, str]) -> None:
    def pauses() -> list[float]:
        time = Time()
        book(rds_proxy, FakeEngine(rds_proxy, ["BUSY"] * 7), time)
        return time.pauses

    runs = [pauses() for _ in range(200)]
    for number, column in enumerate(zip(*runs, strict=True), 1):
        bound = min(2.0, 0.05 * 2**number)
        assert bound / 2 < max(column) <= bound
        assert min(column) < bound / 4  # by chance anywhere from nothing, not in step
    assert len({tuple(run) for run in runs}) == len(runs)


def test_a_connection_that_broke_while_frozen_is_replaced_without_a_pause(
    rds_proxy: LoadedHandler, credentials: Mapping[str, str], time: Time
) -> None:
    settings = rds_proxy.settings.Settings.from_environment(ENVIRONMENT)
    engine = FakeEngine(rds_proxy, [])
    database = rds_proxy.shared.database.Database(engine, settings, sleep=time.sleep, clock=time.now)
    booking = rds_proxy.bookings.Booking("r1", "ann", 5)
    database.run(partial(engine.book, booking=booking), seconds=60)
    engine._failures = ["BROKEN"]
    database.run(partial(engine.book, booking=booking), seconds=60)
    assert time.pauses == [0.0]


def test_every_connection_gets_a_token_of_its_own(
    rds_proxy: LoadedHandler,
    credentials: Mapping[str, str],
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = iter(["first", "second"])
    monkeypatch.setattr(rds_proxy.shared.database, "make_token", lambda _: next(made))
    engine = FakeEngine(rds_proxy, ["BROKEN"])
    book(rds_proxy, engine, time, times=5)
    assert engine.tokens == ["first", "second"]
