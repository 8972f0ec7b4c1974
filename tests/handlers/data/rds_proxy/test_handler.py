"""The handler: its events, its responses, and its one connection, which is replaced when it breaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import psycopg
import pytest

from data.rds_proxy import mysql, postgres
from data.rds_proxy.bookings import InvalidBooking
from tests.handlers.data.rds_proxy.conftest import ENVIRONMENT
from tests.handlers.importing import import_handler

GOOD = {"request_id": "r1", "account": "ann", "amount": 5}


@dataclass
class Context:
    """The part of Lambda's context that the handler uses."""

    milliseconds: int = 30_000

    def get_remaining_time_in_millis(self) -> int:
        return self.milliseconds


@pytest.fixture
def handler(
    connect: Callable[..., Any],
    credentials: Mapping[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> ModuleType:
    """The handler's module, newly imported, with connections to the real PostgreSQL."""
    module = import_handler("data.rds_proxy.handler", ENVIRONMENT)
    migration = import_handler("data.rds_proxy.migration", {**ENVIRONMENT, "FUNCTION_USER": "app"})
    monkeypatch.setattr(postgres, "connect", lambda *_: connect())
    monkeypatch.setenv("FUNCTION_USER", "app")
    migration.handler({}, None)
    opened = []

    def connect_and_count(*_: object) -> Any:
        opened.append(connect())
        return opened[-1]

    monkeypatch.setattr(postgres, "connect", connect_and_count)
    module.opened = opened  # type: ignore[attr-defined]
    return module


def test_a_booking_is_made_with_the_tables_of_the_migration(handler: ModuleType) -> None:
    answer = handler.handler(GOOD, Context())
    assert answer == {**GOOD, "balance": 5, "replayed": False}


def test_invocations_share_one_connection(handler: ModuleType) -> None:
    assert handler.opened == []  # none at the start: an unused environment holds no connection
    for number in range(5):
        handler.handler({**GOOD, "request_id": f"r{number}"}, Context())
    assert len(handler.opened) == 1


def test_a_connection_that_broke_between_invocations_is_replaced_in_the_next_one(
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


def test_a_connection_that_the_driver_has_closed_is_not_used(handler: ModuleType) -> None:
    handler.handler(GOOD, Context())
    handler.opened[0].close()
    assert handler.handler(GOOD, Context())["replayed"] is True


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ([], "the event is a list; give an object"),
        ({**GOOD, "amount": "5"}, "amount: give a whole number"),
        ({**GOOD, "amount": True}, "amount: give a whole number"),
        (
            {**GOOD, "amount": 10**12 + 1},
            "amount: give a whole number from -1,000,000,000,000 to 1,000,000,000,000",
        ),
        ({**GOOD, "account": ""}, "account: give a string of 1 to 64 characters"),
        ({**GOOD, "account": "a\0b"}, "account: give a string"),
        ({**GOOD, "request_id": "x" * 65}, "request_id: give a string of 1 to 64"),
        ({"request_id": "r1", "amount": 1}, "account: give a string"),
    ],
)
def test_an_event_that_is_not_a_booking_is_refused_without_a_connection(
    handler: ModuleType, event: object, message: str
) -> None:
    with pytest.raises(InvalidBooking, match=f"^{message}"):
        handler.handler(event, Context())
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
def test_invalid_settings_stop_the_function_when_it_starts(change: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_handler("data.rds_proxy.handler", {**ENVIRONMENT, **change})


def test_with_engine_mysql_it_uses_the_driver_of_mysql() -> None:
    module = import_handler("data.rds_proxy.handler", {**ENVIRONMENT, "DB_ENGINE": "mysql"})
    assert module.engine is mysql
