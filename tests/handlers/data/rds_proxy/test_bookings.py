"""Bookings in a real PostgreSQL: once for each request id, whoever comes at the same time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from tests.handlers.loading import LoadedHandler

Connection = psycopg.Connection[tuple[Any, ...]]
Connect = Callable[..., Connection]


@pytest.fixture
def connection(rds_proxy: LoadedHandler, connect: Connect) -> Connection:
    opened = connect()
    rds_proxy.postgres.make_tables(opened)
    return opened


def balances(database: str) -> dict[str, int]:
    with psycopg.connect(database) as connection:
        return dict(connection.execute("SELECT name, balance FROM accounts").fetchall())


def test_bookings_add_up(rds_proxy: LoadedHandler, connection: Connection, database: str) -> None:
    for number, (account, amount, balance) in enumerate([("ann", 5, 5), ("ann", -7, -2), ("bob", 1, 1)]):
        booking = rds_proxy.bookings.Booking(f"r{number}", account, amount)
        receipt = rds_proxy.postgres.book(connection, booking)
        assert receipt == rds_proxy.bookings.Receipt(balance, replayed=False)
    assert balances(database) == {"ann": -2, "bob": 1}


def test_a_request_that_comes_again_is_answered_as_the_first_time(
    rds_proxy: LoadedHandler, connection: Connection, database: str
) -> None:
    first = rds_proxy.bookings.Booking("r1", "ann", 5)
    rds_proxy.postgres.book(connection, first)
    rds_proxy.postgres.book(connection, rds_proxy.bookings.Booking("r2", "ann", 5))
    assert rds_proxy.postgres.book(connection, first) == rds_proxy.bookings.Receipt(5, replayed=True)
    assert balances(database) == {"ann": 10}


def test_a_request_id_for_another_booking_is_refused(
    rds_proxy: LoadedHandler, connection: Connection, database: str
) -> None:
    rds_proxy.postgres.book(connection, rds_proxy.bookings.Booking("r1", "ann", 5))
    with pytest.raises(rds_proxy.bookings.RequestIdReused, match="'r1' was used for another booking"):
        rds_proxy.postgres.book(connection, rds_proxy.bookings.Booking("r1", "ann", 6))
    assert balances(database) == {"ann": 5}


def test_the_same_request_at_the_same_time_is_booked_once(
    rds_proxy: LoadedHandler, connection: Connection, connect: Connect, database: str
) -> None:
    connections = [connect() for _ in range(8)]
    booking = rds_proxy.bookings.Booking("r1", "ann", 5)
    start = threading.Barrier(len(connections))

    def book(own: Connection) -> tuple[int, bool]:
        start.wait()
        receipt = rds_proxy.postgres.book(own, booking)
        return receipt.balance, receipt.replayed

    with ThreadPoolExecutor(len(connections)) as pool:
        receipts = list(pool.map(book, connections))
    assert sorted(receipts) == [(5, False)] + [(5, True)] * 7
    assert balances(database) == {"ann": 5}


def test_tables_are_made_by_many_at_once(rds_proxy: LoadedHandler, connect: Connect, database: str) -> None:
    connections = [connect() for _ in range(8)]
    start = threading.Barrier(len(connections))

    def make(own: Connection) -> None:
        start.wait()
        rds_proxy.postgres.make_tables(own)

    with ThreadPoolExecutor(len(connections)) as pool:
        list(pool.map(make, connections))
    assert balances(database) == {}


def test_an_account_cannot_break_out_of_its_quotes(
    rds_proxy: LoadedHandler, connection: Connection, database: str
) -> None:
    name = "ann'); DROP TABLE accounts; -- \\'"
    rds_proxy.postgres.book(connection, rds_proxy.bookings.Booking("'r1\\", name, 5))
    assert balances(database) == {name: 5}


class Wire:
    """A relay in front of a server's Unix socket that notes what the client sends."""

    def __init__(self, database: str) -> None:
        folder = parse_qs(urlsplit(database).query)["host"][0]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._server = socket.socket(socket.AF_UNIX)
        self._server.connect(f"{folder}/.s.PGSQL.5432")
        self.sent = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        client, _ = self._listener.accept()
        threading.Thread(target=self._copy, args=(self._server, client), daemon=True).start()
        while data := client.recv(65_536):
            self.sent += data
            self._server.sendall(data)

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        while data := source.recv(65_536):
            target.sendall(data)

    def messages(self) -> list[tuple[str, bytes]]:
        """The messages after the first, which has no type."""
        position = int.from_bytes(self.sent[:4])
        found = []
        while position < len(self.sent):
            length = int.from_bytes(self.sent[position + 1 : position + 5])
            body = self.sent[position + 5 : position + 1 + length]
            found.append((self.sent[position : position + 1].decode(), body))
            position += 1 + length
        return found


def test_nothing_is_sent_that_pins_a_session(
    rds_proxy: LoadedHandler,
    connection: Connection,
    connect: Connect,
    database: str,
) -> None:
    """Simple queries alone: no Parse, Bind or Execute message, and none of the statements that pin."""
    wire = Wire(database)
    relayed = connect(f"postgresql://postgres@127.0.0.1:{wire.port}/app?sslmode=disable")
    for _ in range(20):  # more than the number after which psycopg would prepare a statement
        for number in range(2):
            rds_proxy.postgres.book(relayed, rds_proxy.bookings.Booking(f"r{number}", "ann", 5))
    messages = wire.messages()
    assert len(messages) > 100
    assert {kind for kind, _ in messages} == {"Q"}
    for _, query in messages:
        first = query.split()[0].strip(b"\0;")
        assert first in {b"BEGIN", b"COMMIT", b"ROLLBACK", b"INSERT", b"SELECT"}, query
        assert b"nextval" not in query
        assert b"set_config" not in query
    relayed.close()


@pytest.mark.parametrize(
    ("statement", "trouble"),
    [
        ("SELECT * FROM nowhere", "NO_TABLES"),
        ("SELECT 1/0", "FINAL"),
        ("SET statement_timeout = 1; SELECT pg_sleep(1)", "FINAL"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "BROKEN"),
        ("BEGIN READ ONLY; CREATE TABLE x (y int)", "BROKEN"),
    ],
)
def test_errors_of_a_real_server_are_told_apart(
    rds_proxy: LoadedHandler, connection: Connection, statement: str, trouble: str
) -> None:
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(statement)
    assert rds_proxy.postgres.diagnose(raised.value).name == trouble


def test_a_lock_that_does_not_come_is_worth_another_attempt(
    rds_proxy: LoadedHandler, connection: Connection, connect: Connect
) -> None:
    other = connect()
    other.execute("BEGIN; LOCK TABLE accounts")
    connection.execute("SET lock_timeout = 20")
    with pytest.raises(psycopg.errors.LockNotAvailable) as raised:
        rds_proxy.postgres.book(connection, rds_proxy.bookings.Booking("r1", "ann", 5))
    assert rds_proxy.postgres.diagnose(raised.value).name == "BUSY"


@pytest.mark.parametrize(
    ("said", "trouble"),
    [
        ("FATAL:  The IAM authentication failed for the role app. Check the IAM token", "FINAL"),
        ("FATAL:  This RDS proxy has no credentials for the role app. Check the credentials", "FINAL"),
        ("FATAL:  sorry, too many clients already", "BROKEN"),
        ("FATAL:  the database system is starting up", "BROKEN"),
        ("server closed the connection unexpectedly", "BROKEN"),
    ],
)
def test_refusals_while_connecting_are_told_apart_by_what_was_said(
    rds_proxy: LoadedHandler, said: str, trouble: str
) -> None:
    error = psycopg.OperationalError(f"connection failed: {said}")
    assert rds_proxy.postgres.diagnose(error).name == trouble


def test_a_server_that_is_not_there_is_worth_another_attempt(rds_proxy: LoadedHandler) -> None:
    with pytest.raises(psycopg.OperationalError) as raised:
        psycopg.connect("host=127.0.0.1 port=1 connect_timeout=2")
    assert rds_proxy.postgres.diagnose(raised.value).name == "BROKEN"
