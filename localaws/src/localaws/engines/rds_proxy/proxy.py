"""A proxy: serves clients with connections from its pool, and measures itself."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import secrets
import time

from localaws.engines.postgres import wire
from localaws.engines.postgres.connection import Connection, DatabaseError
from localaws.engines.postgres.endpoint import Client
from localaws.engines.rds_proxy.iam_login import IamLogins
from localaws.engines.rds_proxy.login import RefusedError, log_in
from localaws.engines.rds_proxy.pool import BorrowTimeoutError, Key, Pool
from localaws.engines.rds_proxy.session import Session
from localaws.engines.rds_proxy.settings import Control

_SWEEP_SECONDS = 0.25
_SWEEPS_A_SECOND, _SWEEPS_A_MINUTE = 4, 240
_log = logging.getLogger(__name__)


class Proxy:
    """A proxy, whose endpoints call `serve`.

    Args:
        control: Its account.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._pool = Pool(self._connect, lambda: control.settings().max_connections)
        self._iam_logins = IamLogins()
        self._sessions: set[Session] = set()
        self._parameters: dict[Key, dict[str, str]] = {}
        self._sweeper: asyncio.Task[None] | None = None
        self._count = {"ClientConnectionsReceived": 0, "ClientConnectionsSetupFailedAuth": 0}
        self._pins = 0
        self._published: dict[str, int] = {}

    async def open(self) -> None:
        """Start closing idle clients and publishing metrics."""
        self._sweeper = asyncio.ensure_future(self._sweep())

    def close(self) -> None:
        """End all connections."""
        if self._sweeper:
            self._sweeper.cancel()
        self._pool.close()

    async def serve(self, client: Client, host: str, port: int) -> None:
        """Serve a client.

        Args:
            client: The client, after its startup message.
            host: The address that it connected to.
            port: The port.
        """
        self._count["ClientConnectionsReceived"] += 1
        try:
            key = await log_in(client, self._control, host, port)
            parameters = await self._parameters_of(key)
        except RefusedError as refused:
            self._count["ClientConnectionsSetupFailedAuth"] += 1
            self._control.log(str(refused))
            client.refuse(refused.code, str(refused))
            return
        except BorrowTimeoutError:
            client.refuse("08000", "Timed-out waiting to acquire database connection.")
            return
        except DatabaseError as error:
            client.refuse(error.code, f"Request returned an error: {error}")
            return
        client.writer.write(
            wire.authentication(0)
            + b"".join(wire.parameter_status(name, value) for name, value in parameters.items())
            + wire.message(b"K", secrets.token_bytes(8))
            + wire.ready()
        )
        session = Session(client, key, self._pool, self._patience, functools.partial(self._pinned, key))
        self._sessions.add(session)
        try:
            await session.run()
        finally:
            self._sessions.discard(session)

    def _patience(self) -> float:
        return self._control.settings().borrow_timeout

    def _pinned(self, key: Key, reason: str) -> None:
        self._pins += 1
        role = dict(key)["user"]
        self._control.log(
            f"The client session of {role} was pinned to the database connection for the remainder of "
            "the session. The proxy can't reuse this connection until the session ends. "
            f"Reason: {reason}."
        )

    def measure(self) -> dict[str, int]:
        """The metrics of a proxy, by their names in CloudWatch.

        Events are counted since the last call; other values are current ones. A session that was pinned since
        the last call counts as pinned even if it has ended.
        """
        sessions, count, pins = self._sessions, dict(self._count), self._pins
        self._count, self._pins = dict.fromkeys(count, 0), 0
        pinned = sum(each.pinned is not None and each.connection is not None for each in sessions)
        return {
            **count,
            "ClientConnections": len(sessions),
            "DatabaseConnections": self._pool.size,
            "DatabaseConnectionsCurrentlyBorrowed": len(self._pool.lent),
            "DatabaseConnectionsCurrentlyInTransaction": sum(each.in_transaction for each in sessions),
            "DatabaseConnectionsCurrentlySessionPinned": max(pins, pinned),
            "MaxDatabaseConnectionsAllowed": self._control.settings().max_connections,
        }

    async def _connect(self, key: Key) -> Connection:
        options = dict(key)
        role, database = options.pop("user"), options.pop("database")
        settings, credentials = self._control.settings(), self._control.credentials(role)
        if settings.socket is None:
            raise DatabaseError("the database is not running", "57P03")
        if credentials is None:
            raise DatabaseError(f"the proxy has no credentials for the role {role}", "28000")
        if credentials.password is None:
            connection = await self._iam_logins.open(settings.socket, role, database, options)
        else:
            try:
                connection = await Connection.open(
                    settings.socket, role, credentials.password, database, options
                )
            except DatabaseError as error:
                if error.code != "28P01" or self._control.credentials(role) == credentials:
                    raise
                return await self._connect(key)  # the secret has just been rotated
        if settings.init_query:
            await connection.query(settings.init_query)
        self._parameters[key] = dict(connection.parameters)
        return connection

    async def _parameters_of(self, key: Key) -> dict[str, str]:
        """The parameters that the database reports at login, from an earlier or a new connection."""
        if key not in self._parameters:
            connection = await self._pool.borrow(key, self._patience())
            self._pool.give_back(connection)
        return self._parameters[key]

    async def _sweep(self) -> None:
        """Close clients that have been idle for too long, and publish metrics."""
        for number in itertools.count(1):
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                self._close_idle()
                if number % _SWEEPS_A_SECOND == 0:
                    self._publish(anyway=number % _SWEEPS_A_MINUTE == 0)
            except Exception:
                _log.exception("A proxy could not close idle clients or publish its metrics")

    def _publish(self, *, anyway: bool) -> None:
        measured = self.measure()
        if anyway or measured != self._published:
            self._control.publish(measured)
            self._published = measured

    def _close_idle(self) -> None:
        oldest = time.monotonic() - self._control.settings().idle_timeout
        for session in list(self._sessions):
            if session.idle_since < oldest:
                session.close()
