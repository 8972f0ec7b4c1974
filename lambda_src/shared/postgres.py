"""PostgreSQL through RDS Proxy: connections that are never pinned, and what the errors mean.

The proxy runs each transaction of a session on any free connection of the pool, unless the session has state
that would be lost: then it pins the session to one connection. This module avoids what pins: SET (the
timeouts are in the pool's initialization query), PREPARE, and named statements of the extended protocol
(``ClientCursor`` inserts the values in the client).

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
"""

import re

import psycopg
from psycopg.rows import TupleRow

from shared.database import Trouble
from shared.login import Login

Connection = psycopg.Connection[TupleRow]

errors: tuple[type[Exception], ...] = (psycopg.Error,)

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_BUSY = {"40001", "40P01", "55P03"}  # serialization failure, deadlock, lock timeout
_BROKEN = {
    "25006",  # read-only transaction: the server was the writer before a failover
    "53300",  # too many connections
    "57P01",  # the server is being shut down
    "57P02",  # the server crashed
    "57P03",  # the server is starting
    "57P05",  # the session was idle for too long
}

# While connecting, libpq reports the server's message without its code. These refusals are permanent.
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy.troubleshooting.html
_REFUSED = re.compile(r"authentication failed|has no credentials for the role|requires TLS connections")


def open_connection(login: Login, token: str, *, name: str) -> Connection:
    """Open a connection over TLS, and only to a server whose certificate is for the host.

    Args:
        login: The proxy and the user.
        token: The password.
        name: The application's name in the server's views, such as ``pg_stat_activity``.
    """
    return psycopg.connect(
        host=login.host,
        port=login.port,
        dbname=login.database,
        user=login.user,
        password=token,
        sslmode="verify-full",
        sslrootcert=login.authorities,
        gssencmode="disable",
        connect_timeout=5,
        # A host that stops answering is noticed within seconds, not minutes.
        tcp_user_timeout=10_000,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=2,
        application_name=name,
        autocommit=True,  # transactions are begun explicitly, never by accident
        cursor_factory=psycopg.ClientCursor,
        prepare_threshold=None,
    )


def diagnose(error: Exception) -> Trouble:
    """Say what to do about an error."""
    state = getattr(error, "sqlstate", None)
    if state is None:  # the connection broke or was never made
        refused = not isinstance(error, psycopg.OperationalError) or _REFUSED.search(str(error))
        return Trouble.FINAL if refused else Trouble.BROKEN
    if state in _BUSY:
        return Trouble.BUSY
    if state in _BROKEN or state.startswith("08"):
        return Trouble.BROKEN
    return Trouble.FINAL


def is_open(connection: Connection) -> bool:
    """Whether the driver considers the connection usable. Costs no round trip."""
    return not (connection.closed or connection.broken)
