"""Bookings in a real PostgreSQL: once for each request id, also with concurrent requests."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, urlsplit

import psycopg
import pytest

from data.rds_proxy import postgres
from data.rds_proxy.bookings import Booking, Receipt, RequestIdReused
from shared.database import Trouble
from shared.postgres import Connection

Connect = Callable[..., Connection]


@pytest.fixture
def connection(connect: Connect) -> Connection:
    opened = connect()
    postgres.migrate(opened, "app")
    return opened


def balances(database: str) -> dict[str, int]:
    with psycopg.connect(database) as connection:
        return dict(connection.execute("SELECT name, balance FROM accounts").fetchall())


def test_bookings_add_up(connection: Connection, database: str) -> None:
    for number, (account, amount, balance) in enumerate([("ann", 5, 5), ("ann", -7, -2), ("bob", 1, 1)]):
        booking = Booking(f"r{number}", account, amount)
        receipt = postgres.book(connection, booking)
        assert receipt == Receipt(balance, replayed=False)
    assert balances(database) == {"ann": -2, "bob": 1}


def test_a_repeated_request_gets_the_first_receipt(connection: Connection, database: str) -> None:
    first = Booking("r1", "ann", 5)
    postgres.book(connection, first)
    postgres.book(connection, Booking("r2", "ann", 5))
    assert postgres.book(connection, first) == Receipt(5, replayed=True)
    assert balances(database) == {"ann": 10}


def test_a_request_id_of_a_different_booking_is_refused(connection: Connection, database: str) -> None:
    postgres.book(connection, Booking("r1", "ann", 5))
    with pytest.raises(RequestIdReused, match="'r1' was used for another booking"):
        postgres.book(connection, Booking("r1", "ann", 6))
    assert balances(database) == {"ann": 5}


def test_the_same_request_sent_concurrently_is_booked_once(
    connection: Connection, connect: Connect, database: str
) -> None:
    connections = [connect() for _ in range(8)]
    booking = Booking("r1", "ann", 5)
    start = threading.Barrier(len(connections))

    def book(own: Connection) -> tuple[int, bool]:
        start.wait()
        receipt = postgres.book(own, booking)
        return receipt.balance, receipt.replayed

    with ThreadPoolExecutor(len(connections)) as pool:
        receipts = list(pool.map(book, connections))
    assert sorted(receipts) == [(5, False)] + [(5, True)] * 7
    assert balances(database) == {"ann": 5}


@pytest.mark.parametrize(
    "statement",
    [
        *("DROP TABLE accounts", "ALTER TABLE accounts ADD note text", "TRUNCATE bookings"),
        *("DELETE FROM bookings", "UPDATE bookings SET amount = 0", "DELETE FROM accounts"),
        *("CREATE TABLE mine (n int)", "CREATE TEMPORARY TABLE mine (n int)", "CREATE SCHEMA mine"),
        *("CREATE ROLE other", "ALTER ROLE app SUPERUSER", "GRANT app TO rds_iam"),
        *("SELECT * FROM migrations", "SELECT * FROM pg_authid", "COPY accounts TO PROGRAM 'cat'"),
    ],
)
def test_the_functions_user_may_only_book(connection: Connection, statement: str) -> None:
    connection.execute("SET ROLE app")
    postgres.book(connection, Booking("r1", "ann", 5))
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_the_migration_can_be_repeated_and_takes_rights_back(connection: Connection) -> None:
    connection.execute("GRANT ALL ON bookings TO app")
    postgres.migrate(connection, "app")
    allowed = "SELECT has_table_privilege('app', 'bookings', %s)"
    assert [connection.execute(allowed, (right,)).fetchone() for right in ("INSERT", "DELETE")] == [
        (True,),
        (False,),
    ]


def test_the_migration_leaves_the_proxys_own_user_connected(connection: Connection) -> None:
    may = "SELECT has_database_privilege('rdsproxyadmin', current_database(), %s)"
    assert [connection.execute(may, (right,)).fetchone() for right in ("CONNECT", "TEMPORARY")] == [
        (True,),
        (False,),
    ]


def test_tables_can_be_created_concurrently(connect: Connect, database: str) -> None:
    connections = [connect() for _ in range(8)]
    start = threading.Barrier(len(connections))

    def make(own: Connection) -> None:
        start.wait()
        postgres.migrate(own, "app")

    with ThreadPoolExecutor(len(connections)) as pool:
        list(pool.map(make, connections))
    assert balances(database) == {}


def test_the_name_of_an_account_cannot_inject_sql(connection: Connection, database: str) -> None:
    name = "ann'); DROP TABLE accounts; -- \\'"
    postgres.book(connection, Booking("'r1\\", name, 5))
    assert balances(database) == {name: 5}


class Wire:
    """A relay in front of a server's Unix socket that records what the client sends."""

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
        """Type and body of the messages after the first one, which has no type."""
        position = int.from_bytes(self.sent[:4])
        found = []
        while position < len(self.sent):
            length = int.from_bytes(self.sent[position + 1 : position + 5])
            body = self.sent[position + 5 : position + 1 + length]
            found.append((self.sent[position : position + 1].decode(), body))
            position += 1 + length
        return found


def test_no_message_and_no_statement_pins_a_session(
    connection: Connection,
    connect: Connect,
    database: str,
) -> None:
    """Only simple queries: no Parse, Bind or Execute message, and none of the statements that pin."""
    wire = Wire(database)
    relayed = connect(f"postgresql://postgres@127.0.0.1:{wire.port}/app?sslmode=disable")
    for _ in range(20):  # more than the number after which psycopg would prepare a statement
        for number in range(2):
            postgres.book(relayed, Booking(f"r{number}", "ann", 5))
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
        ("SELECT * FROM nowhere", Trouble.FINAL),
        ("SELECT 1/0", Trouble.FINAL),
        ("SET statement_timeout = 1; SELECT pg_sleep(1)", Trouble.FINAL),
        ("SELECT pg_terminate_backend(pg_backend_pid())", Trouble.BROKEN),
        ("BEGIN READ ONLY; CREATE TABLE x (y int)", Trouble.BROKEN),
    ],
)
def test_errors_of_a_real_server_are_diagnosed(
    connection: Connection, statement: str, trouble: Trouble
) -> None:
    with pytest.raises(psycopg.Error) as raised:
        connection.execute(statement)
    assert postgres.diagnose(raised.value) is trouble


def test_a_lock_timeout_is_worth_a_retry(connection: Connection, connect: Connect) -> None:
    other = connect()
    other.execute("BEGIN; LOCK TABLE accounts")
    connection.execute("SET lock_timeout = 20")
    with pytest.raises(psycopg.errors.LockNotAvailable) as raised:
        postgres.book(connection, Booking("r1", "ann", 5))
    assert postgres.diagnose(raised.value) is Trouble.BUSY


@pytest.mark.parametrize(
    ("message", "trouble"),
    [
        ("FATAL:  The IAM authentication failed for the role app. Check the IAM token", Trouble.FINAL),
        ("FATAL:  This RDS proxy has no credentials for the role app. Check the credentials", Trouble.FINAL),
        ("FATAL:  sorry, too many clients already", Trouble.BROKEN),
        ("FATAL:  the database system is starting up", Trouble.BROKEN),
        ("server closed the connection unexpectedly", Trouble.BROKEN),
    ],
)
def test_refused_connections_are_diagnosed_by_the_message(message: str, trouble: Trouble) -> None:
    error = psycopg.OperationalError(f"connection failed: {message}")
    assert postgres.diagnose(error) is trouble


def test_an_unreachable_server_is_worth_a_retry() -> None:
    with pytest.raises(psycopg.OperationalError) as raised:
        psycopg.connect("host=127.0.0.1 port=1 connect_timeout=2")
    assert postgres.diagnose(raised.value) is Trouble.BROKEN
