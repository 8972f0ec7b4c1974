"""Bookings in MySQL, with statements that never pin a session of RDS Proxy to one connection.

These pin a session of MySQL and are not used: prepared statements (PyMySQL inserts the values in the client),
user variables, LOCK TABLES, GET_LOCK, temporary tables, FOUND_ROWS, statements over 16 KB. PyMySQL sets the
character set and autocommit when it connects; the proxy tracks both, so these do not pin.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
"""

from typing import Any, TypeAlias

import pymysql
from pymysql.constants import CR, ER
from pymysql.cursors import Cursor

from shared.database import Trouble
from shared.login import Login

from .bookings import Booking, Receipt, replay

Connection: TypeAlias = "pymysql.Connection[Cursor]"

errors: tuple[type[Exception], ...] = (pymysql.MySQLError,)

_BUSY = {ER.LOCK_DEADLOCK, ER.LOCK_WAIT_TIMEOUT}
_BROKEN = {
    ER.CON_COUNT_ERROR,
    ER.SERVER_SHUTDOWN,
    ER.OPTION_PREVENTS_STATEMENT,  # read-only: the server was the writer before a failover
    CR.CR_SERVER_GONE_ERROR,
    CR.CR_SERVER_LOST,
    CR.CR_CONN_HOST_ERROR,
}

_TABLES = (
    "CREATE TABLE IF NOT EXISTS accounts ("
    "name varchar(64) COLLATE utf8mb4_bin PRIMARY KEY, balance bigint NOT NULL)",
    "CREATE TABLE IF NOT EXISTS bookings ("
    "request_id varchar(64) COLLATE utf8mb4_bin PRIMARY KEY, "
    "account varchar(64) COLLATE utf8mb4_bin NOT NULL, amount bigint NOT NULL, balance bigint NOT NULL, "
    "booked_at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6))",
)
_CREATE_USER = "CREATE USER IF NOT EXISTS %s IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"
_RIGHTS = {"accounts": "SELECT, INSERT, UPDATE", "bookings": "SELECT, INSERT"}


def connect(login: Login, token: str) -> Connection:
    """Open a connection over TLS, and only to a server whose certificate is for the host."""
    return pymysql.connect(
        host=login.host,
        port=login.port,
        database=login.database,
        user=login.user,
        password=token,
        ssl_ca=login.authorities,
        ssl_verify_cert=True,
        ssl_verify_identity=True,
        connect_timeout=5,
        # Longer than a statement may wait at the proxy and run in the database together.
        read_timeout=40,
        write_timeout=10,
        charset="utf8mb4",
        autocommit=True,
    )


def diagnose(error: Exception) -> Trouble:
    """Say what to do about an error."""
    if isinstance(error, pymysql.InterfaceError):  # the driver closed the connection earlier
        return Trouble.BROKEN
    code = error.args[0] if error.args else None
    if code in _BUSY:
        return Trouble.BUSY
    if code in _BROKEN:
        return Trouble.BROKEN
    return Trouble.FINAL


def is_open(connection: Connection) -> bool:
    """Whether the driver considers the connection usable. Costs no round trip."""
    return connection.open


def book(connection: Connection, booking: Booking) -> Receipt:
    """Make a booking in one transaction, once for its request id."""
    with connection.cursor() as cursor:
        connection.begin()
        try:
            balance = _book(cursor, booking)
            connection.commit()
        except BaseException as error:
            if connection.open:
                connection.rollback()
            if not isinstance(error, pymysql.IntegrityError) or error.args[0] != ER.DUP_ENTRY:
                raise
        else:
            return Receipt(balance, replayed=False)
        # The booking exists, and the transaction was rolled back.
        account, amount, balance = _row(
            cursor, "SELECT account, amount, balance FROM bookings WHERE request_id = %s", booking.request_id
        )
    return replay(Booking(booking.request_id, account, amount), booking, balance)


def _book(cursor: Cursor, booking: Booking) -> int:
    cursor.execute(
        "INSERT INTO accounts (name, balance) VALUES (%s, %s) ON DUPLICATE KEY UPDATE balance = balance + %s",
        (booking.account, booking.amount, booking.amount),
    )
    (balance,) = _row(cursor, "SELECT balance FROM accounts WHERE name = %s", booking.account)
    cursor.execute(
        "INSERT INTO bookings (request_id, account, amount, balance) VALUES (%s, %s, %s, %s)",
        (booking.request_id, booking.account, booking.amount, balance),
    )
    return int(balance)


def migrate(connection: Connection, user: str) -> None:
    """Create the tables and the function's user, which logs in with IAM, unless they exist.

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.DBAccounts.html
    """
    with connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(table)
        cursor.execute(_CREATE_USER, (user,))
        for table, allowed in _RIGHTS.items():
            cursor.execute(f"GRANT {allowed} ON {table} TO %s", (user,))


def _row(cursor: Cursor, query: str, *values: object) -> tuple[Any, ...]:
    """Run a statement that returns exactly one row or fails."""
    cursor.execute(query, values)
    (row,) = cursor.fetchall()
    return row
