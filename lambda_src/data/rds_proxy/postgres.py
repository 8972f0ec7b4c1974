"""Bookings in PostgreSQL, with statements that never pin a session of RDS Proxy to one connection.

In addition to what ``shared.postgres`` avoids, these pin and are not used: temporary tables, LISTEN, cursors,
session-level advisory locks, and nextval (callers choose the ids).

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
"""

import psycopg
from psycopg.rows import TupleRow

from shared import postgres_migration
from shared.login import Login
from shared.postgres import Connection, diagnose, errors, is_open, open_connection

from .bookings import Booking, Receipt, replay

__all__ = ["book", "connect", "diagnose", "errors", "is_open", "migrate"]

_SCHEMA = (
    """
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
)""",
)
_RIGHTS = {"accounts": "SELECT, INSERT, UPDATE", "bookings": "SELECT, INSERT"}


def connect(login: Login, token: str) -> Connection:
    """Open a connection over TLS, and only to a server whose certificate is for the host."""
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
    except psycopg.errors.UniqueViolation:  # the booking exists, and the transaction was rolled back
        account, amount, balance = _row(
            connection,
            "SELECT account, amount, balance FROM bookings WHERE request_id = %s",
            booking.request_id,
        )
        return replay(Booking(booking.request_id, account, amount), booking, balance)
    return Receipt(balance, replayed=False)


def migrate(connection: Connection, user: str) -> None:
    """Create the tables and the function's user unless they exist."""
    postgres_migration.migrate(connection, _SCHEMA, user=user, rights=_RIGHTS)


def _row(connection: Connection, query: str, *values: object) -> TupleRow:
    """Run a statement that returns exactly one row or fails."""
    (row,) = connection.execute(query.encode(), values).fetchall()
    return row
