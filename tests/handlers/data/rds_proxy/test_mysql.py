"""Bookings in MySQL: the diagnosis of errors, and the statements themselves if there is a server.

No MySQL comes from PyPI, so the statements run only if ``mariadbd`` is installed (``apt-get install
mariadb-server-core``), which speaks the same protocol and knows the same statements.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pymysql
import pytest
from pymysql.constants import CR, ER

from data.rds_proxy import mysql
from data.rds_proxy.bookings import Booking, Receipt, RequestIdReused
from shared.database import Trouble
from shared.login import Login

if TYPE_CHECKING:
    Connection = pymysql.Connection[pymysql.cursors.Cursor]
Connect = Callable[[], "Connection"]


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (pymysql.OperationalError(ER.LOCK_DEADLOCK, "Deadlock found"), Trouble.BUSY),
        (pymysql.OperationalError(ER.LOCK_WAIT_TIMEOUT, "Lock wait timeout exceeded"), Trouble.BUSY),
        (pymysql.OperationalError(CR.CR_SERVER_LOST, "Lost connection"), Trouble.BROKEN),
        (pymysql.OperationalError(CR.CR_SERVER_GONE_ERROR, "gone away"), Trouble.BROKEN),
        (pymysql.OperationalError(ER.CON_COUNT_ERROR, "Too many connections"), Trouble.BROKEN),
        (pymysql.OperationalError(ER.OPTION_PREVENTS_STATEMENT, "--read-only"), Trouble.BROKEN),
        (pymysql.InterfaceError(0, ""), Trouble.BROKEN),
        (pymysql.OperationalError(ER.ACCESS_DENIED_ERROR, "Access denied"), Trouble.FINAL),
        (pymysql.ProgrammingError(ER.NO_SUCH_TABLE, "doesn't exist"), Trouble.FINAL),
        (pymysql.ProgrammingError(ER.PARSE_ERROR, "syntax"), Trouble.FINAL),
        (pymysql.MySQLError(), Trouble.FINAL),
    ],
)
def test_errors_are_diagnosed(error: pymysql.MySQLError, trouble: Trouble) -> None:
    assert mysql.diagnose(error) is trouble


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    """The Unix socket of a server for these tests."""
    program = shutil.which("mariadbd")
    if program is None:
        pytest.skip("no mariadbd is installed here")
    with tempfile.TemporaryDirectory(prefix="my-") as folder:
        data = Path(folder) / "data"
        data.mkdir()
        place = ["--no-defaults", f"--datadir={data}", "--user=root", "--skip-grant-tables"]
        subprocess.run([program, *place, "--bootstrap"], input=b"", check=True, capture_output=True)
        path = f"{folder}/socket"
        command = [program, *place, "--skip-networking", f"--socket={path}", f"--pid-file={folder}/pid"]
        with (Path(folder) / "log").open("wb") as log:
            server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 60
            while not Path(path).exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            yield path
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture
def connect(login: Login, socket: str) -> Iterator[Connect]:
    """Opens connections as the handler does, but to that server and without TLS."""
    real = pymysql.connect
    admin = real(unix_socket=socket, user="root", autocommit=True)
    admin.cursor().execute("CREATE DATABASE app")

    def without_tls(**options: Any) -> Any:
        for name in ("host", "port", "user", "password", "ssl_ca", "ssl_verify_cert", "ssl_verify_identity"):
            del options[name]
        return real(unix_socket=socket, user="root", **options)

    with mock.patch.object(pymysql, "connect", without_tls):
        yield lambda: mysql.connect(login, "token")
    admin.cursor().execute("DROP DATABASE app")
    admin.close()


@pytest.fixture
def connection(connect: Connect) -> Iterator[Connection]:
    opened = connect()
    with opened.cursor() as cursor:
        for table in mysql._TABLES * 2:  # a second time changes nothing
            cursor.execute(table)
    yield opened
    opened.close()


def test_the_functions_user_logs_in_with_iam_and_gets_rights_on_two_tables() -> None:
    connection = mock.MagicMock()
    mysql.migrate(connection, "app")
    executed = connection.cursor().__enter__().execute
    assert [tuple(call.args) for call in executed.call_args_list[2:]] == [
        ("CREATE USER IF NOT EXISTS %s IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'", ("app",)),
        ("GRANT SELECT, INSERT, UPDATE ON accounts TO %s", ("app",)),
        ("GRANT SELECT, INSERT ON bookings TO %s", ("app",)),
    ]


def balances(connection: Connection) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, balance FROM accounts")
        return dict(cursor.fetchall())


def test_bookings_add_up_and_repeated_ones_count_once(connection: Connection) -> None:
    book = mysql.book
    assert book(connection, Booking("r1", "ann", 5)) == Receipt(5, replayed=False)
    assert book(connection, Booking("r2", "ann", -7)) == Receipt(-2, replayed=False)
    assert book(connection, Booking("r1", "ann", 5)) == Receipt(5, replayed=True)
    assert book(connection, Booking("R1", "Ann", 1)) == Receipt(1, replayed=False)  # letter case counts
    with pytest.raises(RequestIdReused):
        book(connection, Booking("r1", "ann", 6))
    assert balances(connection) == {"ann": -2, "Ann": 1}


def test_the_name_of_an_account_cannot_inject_sql(connection: Connection) -> None:
    name = "ann'); DROP TABLE accounts; -- \\'"
    mysql.book(connection, Booking("'r1\\", name, 5))
    assert balances(connection) == {name: 5}


def test_the_same_request_sent_concurrently_is_booked_once(connection: Connection, connect: Connect) -> None:
    """Deadlocks are possible here. The handler retries them, and so does this test."""
    connections = [connect() for _ in range(8)]
    booking = Booking("r1", "ann", 5)
    start = threading.Barrier(len(connections))

    def book(own: Connection) -> tuple[int, bool]:
        start.wait()
        for _ in range(20):
            try:
                receipt = mysql.book(own, booking)
            except pymysql.MySQLError as error:
                if mysql.diagnose(error) is not Trouble.BUSY:
                    raise
            else:
                return receipt.balance, receipt.replayed
        raise AssertionError("twenty deadlocks in a row")

    with ThreadPoolExecutor(len(connections)) as pool:
        assert sorted(pool.map(book, connections)) == [(5, False)] + [(5, True)] * 7
    assert balances(connection) == {"ann": 5}
    for own in connections:
        own.close()


def test_a_failed_transaction_is_rolled_back(connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE bookings")
    with pytest.raises(pymysql.MySQLError) as raised:
        mysql.book(connection, Booking("r1", "ann", 5))
    assert mysql.diagnose(raised.value) is Trouble.FINAL
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM accounts")
        assert cursor.fetchone() == (0,)


def test_a_connection_that_the_server_closed_is_broken(connection: Connection, connect: Connect) -> None:
    own = connect()
    with connection.cursor() as cursor:
        cursor.execute(f"KILL {own.thread_id()}")  # type: ignore[no-untyped-call]
    with pytest.raises(pymysql.MySQLError) as raised:
        mysql.book(own, Booking("r1", "ann", 5))
    assert mysql.diagnose(raised.value) is Trouble.BROKEN
    assert not mysql.is_open(own)
