"""PostgreSQL through RDS Proxy, in a way that never pins a session to one connection.

The proxy gives a session another connection of the pool for each transaction, unless the session has state
that would be lost. What pins, and is not done here: SET (the pool's initialization query has the timeouts),
PREPARE and named statements of the extended protocol (``ClientCursor`` puts the values in on this side),
temporary tables, LISTEN, cursors, session-level advisory locks, nextval (ids come with the request).

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
"""

import psycopg
from bookings import Booking, Receipt, replay
from psycopg.rows import TupleRow

from shared.login import Login
from shared.postgres import Connection, diagnose, errors, is_open, open_connection

__all__ = ["book", "connect", "diagnose", "errors", "is_open", "make_tables"]

_MAKE_TABLES_LOCK = 0x626F6F6B  # any number that nothing else in the database locks

_TABLES = """
CREATE TABLE IF NOT EXISTS accounts (
    name text PRIMARY KEY,
    balance bigint NOT NULL
);
CREATE TABLE IF NOT EXISTS bookings (
    request_id text PRIMARY KEY,
    account text NOT NULL,
    amount bigint NOT NULL,
    balance bigint NOT NULL,
    booked_at timestamptz NOT NULL DEFAULT now()
)"""


def connect(login: Login, token: str) -> Connection:
    """Open a connection, over TLS, to the host that its certificate names and to no other."""
    return open_connection(login, token, name="rds-proxy")


def book(connection: Connection, booking: Booking) -> Receipt:
    """Make a booking in one transaction, once for its request id."""
    try:
        with connection.transaction():
            (balance,) = _row(
                connection,
                "INSERT INTO accounts (name, balance) VALUES (%s, %s) "
                "ON CONFLICT (name) DO UPDATE SET balance = accounts.balance + excluded.balance "
                "RETURNING balance",
                booking.account,
                booking.amount,
            )
            connection.execute(
                "INSERT INTO bookings (request_id, account, amount, balance) VALUES (%s, %s, %s, %s)",
                (booking.request_id, booking.account, booking.amount, balance),
            )
    except psycopg.errors.UniqueViolation:  # booked before, and all of the above is rolled back
        account, amount, balance = _row(
            connection,
            "SELECT account, amount, balance FROM bookings WHERE request_id = %s",
            booking.request_id,
        )
        return replay(Booking(booking.request_id, account, amount), booking, balance)
    return Receipt(balance, replayed=False)


def make_tables(connection: Connection) -> None:
    """Make the tables, unless they are there."""
    with connection.transaction():
        # CREATE TABLE IF NOT EXISTS by two at once fails for one of them. A lock of the transaction, unlike
        # one of the session, does not pin.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_MAKE_TABLES_LOCK,))
        connection.execute(_TABLES)


def _row(connection: Connection, query: str, *values: object) -> TupleRow:
    row = connection.execute(query.encode(), values).fetchone()
    assert row is not None  # each of these statements has a row, or fails
    return row
