"""PostgreSQL through RDS Proxy: connections that nothing pins, and what its errors mean.

The proxy gives a session another connection of the pool for each transaction, unless the session has state
that would be lost. What pins, and is not done here: SET (the pool's initialization query has the timeouts),
PREPARE and named statements of the extended protocol (``ClientCursor`` puts the values in on this side).

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


def open_connection(login: Login, token: str, *, name: str) -> Connection:
    """Open a connection, over TLS, to the host that its certificate names and to no other.

    Args:
        login: Where to, and as whom.
        token: The password.
        name: What the server's own views are to call it.
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
        # A host that is gone without a word is noticed within these, not after minutes.
        tcp_user_timeout=10_000,
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=2,
        application_name=name,
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
