"""When and how often an attempt is retried, with a database that fails on request."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import pytest

from data.rds_proxy.bookings import Booking
from shared import database as database_module
from shared.database import MOST_ATTEMPTS, Database, Trouble
from shared.login import Login


class Failure(Exception):
    """An error of the fake database."""

    def __init__(self, trouble: str) -> None:
        super().__init__(trouble)
        self.trouble = trouble


class FakeEngine:
    """Fails the first attempts: ``connect:BROKEN`` fails the connection, ``BUSY`` the booking."""

    errors = (Failure,)

    def __init__(self, failures: Iterable[str]) -> None:
        self._failures = list(failures)
        self.calls: list[str] = []
        self.tokens: list[str] = []

    def connect(self, login: Any, token: str) -> FakeEngine:
        self.calls.append("connect")
        self.tokens.append(token)
        if self._failures and self._failures[0].startswith("connect:"):
            raise Failure(self._failures.pop(0).removeprefix("connect:"))
        return self

    def diagnose(self, error: Exception) -> Trouble:
        return Trouble[error.trouble] if isinstance(error, Failure) else Trouble.FINAL

    def is_open(self, _: object) -> bool:
        return True

    def book(self, _: object, booking: object) -> object:
        self.calls.append("book")
        if self._failures:
            raise Failure(self._failures.pop(0))
        return booking

    def close(self) -> None:
        self.calls.append("close")


class Time:
    """A clock that moves only when something sleeps."""

    def __init__(self) -> None:
        self.pauses: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def now(self) -> float:
        return sum(self.pauses)


@pytest.fixture
def time() -> Time:
    return Time()


def book(login: Login, engine: FakeEngine, time: Time, seconds: float = 60, times: int = 1) -> None:
    database = Database(engine, login, sleep=time.sleep, clock=time.now)
    for number in range(times):
        booking = Booking(f"r{number}", "ann", 5)
        assert database.run(partial(engine.book, booking=booking), seconds=seconds) is booking


@pytest.mark.parametrize(
    ("failures", "calls"),
    [
        ([], ["connect", "book"]),
        (["BUSY"], ["connect", "book", "book"]),
        (["BROKEN"], ["connect", "book", "close", "connect", "book"]),
        (["connect:BROKEN", "connect:BROKEN"], ["connect", "connect", "connect", "book"]),
    ],
)
def test_each_kind_of_error_has_its_own_remedy(
    login: Login,
    credentials: Mapping[str, str],
    time: Time,
    failures: list[str],
    calls: list[str],
) -> None:
    engine = FakeEngine(failures)
    book(login, engine, time)
    assert engine.calls == calls


@pytest.mark.parametrize("failure", ["FINAL", "connect:FINAL"])
def test_permanent_errors_are_not_retried(
    login: Login, credentials: Mapping[str, str], time: Time, failure: str
) -> None:
    engine = FakeEngine([failure])
    with pytest.raises(Failure, match="FINAL"):
        book(login, engine, time)
    assert time.pauses == []


def test_the_number_of_attempts_is_limited(login: Login, credentials: Mapping[str, str], time: Time) -> None:
    engine = FakeEngine(["BUSY"] * 100)
    with pytest.raises(Failure, match="BUSY"):
        book(login, engine, time)
    assert engine.calls.count("book") == MOST_ATTEMPTS


def test_no_attempt_begins_after_the_deadline(
    login: Login, credentials: Mapping[str, str], time: Time
) -> None:
    engine = FakeEngine(["BUSY"] * 100)
    with pytest.raises(Failure, match="BUSY"):
        book(login, engine, time, seconds=0.01)
    assert sum(time.pauses) < 0.01


def test_pauses_grow_up_to_a_limit_with_jitter(login: Login, credentials: Mapping[str, str]) -> None:
    def pauses() -> list[float]:
        time = Time()
        book(login, FakeEngine(["BUSY"] * 7), time)
        return time.pauses

    runs = [pauses() for _ in range(200)]
    for number, column in enumerate(zip(*runs, strict=True), 1):
        bound = min(2.0, 0.05 * 2**number)
        assert bound / 2 < max(column) <= bound
        assert min(column) < bound / 4  # full jitter: anywhere from 0
    assert len({tuple(run) for run in runs}) == len(runs)


def test_a_connection_that_broke_between_invocations_is_replaced_without_a_pause(
    login: Login, credentials: Mapping[str, str], time: Time
) -> None:
    engine = FakeEngine([])
    database = Database(engine, login, sleep=time.sleep, clock=time.now)
    booking = Booking("r1", "ann", 5)
    database.run(partial(engine.book, booking=booking), seconds=60)
    engine._failures = ["BROKEN"]
    database.run(partial(engine.book, booking=booking), seconds=60)
    assert time.pauses == [0.0]


def test_each_connection_gets_a_new_token(
    login: Login,
    credentials: Mapping[str, str],
    time: Time,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = iter(["first", "second"])
    monkeypatch.setattr(database_module, "make_token", lambda _: next(made))
    engine = FakeEngine(["BROKEN"])
    book(login, engine, time, times=5)
    assert engine.tokens == ["first", "second"]
