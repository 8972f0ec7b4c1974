"""Bookings in MySQL: what can be told apart anywhere, and the statements themselves where there is a server.

No MySQL comes from PyPI, so the statements run where ``mariadbd`` is installed (``apt-get install
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

from tests.handlers.data.rds_proxy.conftest import ENVIRONMENT
from tests.handlers.loading import LoadedHandler

if TYPE_CHECKING:
    Connection = pymysql.Connection[pymysql.cursors.Cursor]
Connect = Callable[[], "Connection"]


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (pymysql.OperationalError(ER.LOCK_DEADLOCK, "Deadlock found"), "BUSY"),
        (pymysql.OperationalError(ER.LOCK_WAIT_TIMEOUT, "Lock wait timeout exceeded"), "BUSY"),
        (pymysql.OperationalError(CR.CR_SERVER_LOST, "Lost connection"), "BROKEN"),
        (pymysql.OperationalError(CR.CR_SERVER_GONE_ERROR, "gone away"), "BROKEN"),
        (pymysql.OperationalError(ER.CON_COUNT_ERROR, "Too many connections"), "BROKEN"),
        (pymysql.OperationalError(ER.OPTION_PREVENTS_STATEMENT, "--read-only"), "BROKEN"),
        (pymysql.InterfaceError(0, ""), "BROKEN"),
        (pymysql.OperationalError(ER.ACCESS_DENIED_ERROR, "Access denied"), "FINAL"),
        (pymysql.ProgrammingError(ER.NO_SUCH_TABLE, "doesn't exist"), "NO_TABLES"),
        (pymysql.ProgrammingError(ER.PARSE_ERROR, "syntax"), "FINAL"),
        (pymysql.MySQLError(), "FINAL"),
    ],
)
def test_errors_are_told_apart(rds_proxy: LoadedHandler, error: pymysql.MySQLError, trouble: str) -> None:
    assert rds_proxy.mysql.diagnose(error).name == trouble


@pytest.fixture(scope="module")
def socket() -> Iterator[str]:
    """The socket of a server of its own."""
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
            deadline = time.monotonic() + 30
            while not Path(path).exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            yield path
        finally:
            server.terminate()
            server.wait(30)


@pytest.fixture
def connect(rds_proxy: LoadedHandler, socket: str) -> Iterator[Connect]:
    """Opens connections as the handler does, but to that server and without TLS."""
    real = pymysql.connect
    admin = real(unix_socket=socket, user="root", autocommit=True)
    admin.cursor().execute("CREATE DATABASE app")

    def without_tls(**options: Any) -> Any:
        for name in ("host", "port", "user", "password", "ssl_ca", "ssl_verify_cert", "ssl_verify_identity"):
            del options[name]
        return real(unix_socket=socket, user="root", **options)

    settings = rds_proxy.settings.Settings.from_environment(ENVIRONMENT)
    with mock.patch.object(rds_proxy.mysql.pymysql, "connect", without_tls):
        yield lambda: rds_proxy.mysql.connect(settings, "token")
    admin.cursor().execute("DROP DATABASE app")
    admin.close()


@pytest.fixture
def connection(rds_proxy: LoadedHandler, connect: Connect) -> Iterator[Connection]:
    opened = connect()
    rds_proxy.mysql.make_tables(opened)
    rds_proxy.mysql.make_tables(opened)  # a second time changes nothing
    yield opened
    opened.close()


def balances(connection: Connection) -> dict[str, int]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, balance FROM accounts")
        return dict(cursor.fetchall())


def test_bookings_add_up_and_repeated_ones_count_once(
    rds_proxy: LoadedHandler, connection: Connection
) -> None:
    booking, receipt = rds_proxy.bookings.Booking, rds_proxy.bookings.Receipt
    book = rds_proxy.mysql.book
    assert book(connection, booking("r1", "ann", 5)) == receipt(5, replayed=False)
    assert book(connection, booking("r2", "ann", -7)) == receipt(-2, replayed=False)
    assert book(connection, booking("r1", "ann", 5)) == receipt(5, replayed=True)
    assert book(connection, booking("R1", "Ann", 1)) == receipt(1, replayed=False)  # letter case counts
    with pytest.raises(rds_proxy.bookings.RequestIdReused):
        book(connection, booking("r1", "ann", 6))
    assert balances(connection) == {"ann": -2, "Ann": 1}


def test_an_account_cannot_break_out_of_its_quotes(rds_proxy: LoadedHandler, connection: Connection) -> None:
    name = "ann'); DROP TABLE accounts; -- \\'"
    rds_proxy.mysql.book(connection, rds_proxy.bookings.Booking("'r1\\", name, 5))
    assert balances(connection) == {name: 5}


def test_the_same_request_at_the_same_time_is_booked_once(
    rds_proxy: LoadedHandler, connection: Connection, connect: Connect
) -> None:
    """Deadlocks are possible here, and worth another attempt: the handler makes it, as this test does."""
    connections = [connect() for _ in range(8)]
    booking = rds_proxy.bookings.Booking("r1", "ann", 5)
    start = threading.Barrier(len(connections))

    def book(own: Connection) -> tuple[int, bool]:
        start.wait()
        for _ in range(20):
            try:
                receipt = rds_proxy.mysql.book(own, booking)
            except pymysql.MySQLError as error:
                if rds_proxy.mysql.diagnose(error) is not rds_proxy.shared.database.Trouble.BUSY:
                    raise
            else:
                return receipt.balance, receipt.replayed
        raise AssertionError("twenty deadlocks in a row")

    with ThreadPoolExecutor(len(connections)) as pool:
        assert sorted(pool.map(book, connections)) == [(5, False)] + [(5, True)] * 7
    assert balances(connection) == {"ann": 5}
    for own in connections:
        own.close()


def test_a_failed_transaction_leaves_nothing_behind(rds_proxy: LoadedHandler, connection: Connection) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE bookings")
    with pytest.raises(pymysql.MySQLError) as raised:
        rds_proxy.mysql.book(connection, rds_proxy.bookings.Booking("r1", "ann", 5))
    assert rds_proxy.mysql.diagnose(raised.value).name == "NO_TABLES"
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM accounts")
        assert cursor.fetchone() == (0,)


def test_a_connection_that_the_server_ended_is_broken(
    rds_proxy: LoadedHandler, connection: Connection, connect: Connect
) -> None:
    own = connect()
    with connection.cursor() as cursor:
        cursor.execute(f"KILL {own.thread_id()}")  # type: ignore[no-untyped-call]
    with pytest.raises(pymysql.MySQLError) as raised:
        rds_proxy.mysql.book(own, rds_proxy.bookings.Booking("r1", "ann", 5))
    assert rds_proxy.mysql.diagnose(raised.value).name == "BROKEN"
    assert not rds_proxy.mysql.is_open(own)
