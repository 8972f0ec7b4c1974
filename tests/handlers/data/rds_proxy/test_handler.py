"""The handler: events in, answers out, and one connection that is replaced when it breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import psycopg
import pytest

from tests.handlers.data.rds_proxy.conftest import ENVIRONMENT
from tests.handlers.loading import LoadedHandler

GOOD = {"request_id": "r1", "account": "ann", "amount": 5}


@dataclass
class Context:
    """What Lambda hands to a handler, as far as this one looks."""

    milliseconds: int = 30_000

    def get_remaining_time_in_millis(self) -> int:  # noqa: D102 - Lambda's own
        return self.milliseconds


@pytest.fixture
def handler(
    load: Callable[..., LoadedHandler],
    connect: Callable[..., Any],
    credentials: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> ModuleType:
    """A handler of its own, whose connections lead to the real PostgreSQL."""
    loaded = load("data", "rds-proxy", environment=ENVIRONMENT)
    opened = []

    def connect_and_count(*_: object) -> Any:
        opened.append(connect())
        return opened[-1]

    monkeypatch.setattr(loaded.postgres, "connect", connect_and_count)
    loaded.handler.opened = opened  # type: ignore[attr-defined]
    return loaded.handler


def test_a_booking_in_an_empty_database_makes_the_tables_first(handler: ModuleType) -> None:
    answer = handler.handler(GOOD, Context())
    assert answer == {**GOOD, "balance": 5, "replayed": False}


def test_invocations_share_one_connection(handler: ModuleType) -> None:
    assert handler.opened == []  # not at the start: an instance that is never used holds none
    for number in range(5):
        handler.handler({**GOOD, "request_id": f"r{number}"}, Context())
    assert len(handler.opened) == 1


def test_a_connection_that_broke_between_two_invocations_is_replaced_within_the_next(
    handler: ModuleType, database: str
) -> None:
    handler.handler(GOOD, Context())
    with psycopg.connect(database) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'rds-proxy'"
        )
    answer = handler.handler({**GOOD, "request_id": "r2"}, Context())
    assert answer["balance"] == 10
    assert len(handler.opened) == 2


def test_a_connection_that_the_driver_knows_to_be_closed_is_not_tried(handler: ModuleType) -> None:
    handler.handler(GOOD, Context())
    handler.opened[0].close()
    assert handler.handler(GOOD, Context())["replayed"] is True


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "the event is a list; give an object"),
        ({**GOOD, "amount": "5"}, "amount: give a whole number"),
        ({**GOOD, "amount": True}, "amount: give a whole number"),
        ({**GOOD, "amount": 10**12 + 1}, "amount: give a whole number, at most 1,000,000,000,000"),
        ({**GOOD, "account": ""}, "account: give text of 1 to 64 characters"),
        ({**GOOD, "account": "a\0b"}, "account: give text"),
        ({**GOOD, "request_id": "x" * 65}, "request_id: give text of 1 to 64"),
        ({"request_id": "r1", "amount": 1}, "account: give text"),
    ],
)
def test_what_is_no_booking_is_refused_without_a_connection(
    handler: ModuleType, event: object, message: str
) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as raised:
        handler.handler(event, Context())
    assert type(raised.value).__name__ == "InvalidBooking"
    assert handler.opened == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"DB_HOST": ""}, "DB_HOST is missing or empty"),
        ({"DB_PORT": "postgres"}, "DB_PORT='postgres': give a number, 1 to 65535"),
        ({"DB_PORT": "65536"}, "DB_PORT='65536'"),
        ({"DB_ENGINE": "oracle"}, "DB_ENGINE='oracle': give 'postgres' or 'mysql'"),
    ],
)
def test_settings_that_cannot_work_stop_the_function_at_its_start(
    rds_proxy: LoadedHandler, change: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        rds_proxy.settings.Settings.from_environment({**ENVIRONMENT, **change})
