"""PostgreSQL through RDS Proxy, in a way that never pins a session to one connection.

The proxy gives a session another connection of the pool for each transaction, unless the session has state
that would be lost. What pins, and is not done here: SET (the pool's initialization query has the timeouts),
PREPARE and named statements of the extended protocol (``ClientCursor`` puts the values in on this side),
temporary tables, LISTEN, cursors, session-level advisory locks, nextval (ids come with the request).

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
"""

import re

import psycopg
from psycopg.rows import TupleRow

from bookings import Booking, Receipt, replay
from engine import Trouble
from settings import Settings

Connection = psycopg.Connection[TupleRow]

errors: tuple[type[Exception], ...] = (psycopg.Error,)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BUSY = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock timeout
_BROKEN = {
    "25006",  # read-only transaction: this connection leads to what was the writer before a failover
    "53300",  # too many connections
    "57P01",  # the server is being shut down
    "57P02",  # the server crashed
    "57P03",  # the server is starting
    "57P05",  # the session was idle for too long
}
_NO_SUCH_TABLE = "42P01"

# While connecting, libpq hands over what the server said and not its code. These refusals stand.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.troubleshooting.html
_REFUSED = re.compile(r"authentication failed|has no credentials for the role|requires TLS connections")
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


def connect(settings: Settings, token: str) -> Connection:
    """Open a connection, over TLS, to the host that its certificate names and to no other."""
    return psycopg.connect(
        host=settings.host,
        port=settings.port,
        dbname=settings.database,
        user=settings.user,
        password=token,
        sslmode="verify-full",
        sslrootcert=settings.authorities,
        gssencmode="disable",
        connect_timeout=5,
        # A host that is gone without a word is noticed within these, not after minutes.
        tcp_user_timeout=10_000,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=2,
        application_name="rds-proxy",
        autocommit=True,  # transactions are opened where they are needed, and nowhere by accident
        cursor_factory=psycopg.ClientCursor,
        prepare_threshold=None,
    )


def diagnose(error: Exception) -> Trouble:
    """Tell what to do about an error."""
    state = getattr(error, "sqlstate", None)
    if state is None:  # the connection broke, or was never there
        refused = not isinstance(error, psycopg.OperationalError) or _REFUSED.search(str(error))
        return Trouble.FINAL if refused else Trouble.BROKEN
    if state in _BUSY:
        return Trouble.BUSY
    if state in _BROKEN or state.startswith("08"):
        return Trouble.BROKEN
    return Trouble.NO_TABLES if state == _NO_SUCH_TABLE else Trouble.FINAL


def is_open(connection: Connection) -> bool:
    """Whether the driver still thinks that the connection is good. Costs no round trip."""
    return not (connection.closed or connection.broken)


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
