"""A connection to a PostgreSQL server on its Unix socket: logs in, and runs SQL or forwards messages."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, Self, cast

from localaws.engines.postgres import wire
from localaws.engines.postgres.scram import MECHANISM, ScramClient, ScramError

#: Errors of a server that will accept connections again soon.
_NOT_NOW = {"53300": "too many connections", "57P03": "starting up or shutting down"}


class DatabaseError(Exception):
    """An error of the server.

    Attributes:
        code: The SQLSTATE.
    """

    def __init__(self, reason: str, code: str = "08006") -> None:
        super().__init__(reason)
        self.code = code

    @property
    def passes(self) -> bool:
        """Whether a retry may succeed."""
        return self.code in _NOT_NOW


class Receiver(Protocol):
    """Receives messages of the server while it has borrowed a connection."""

    def received(self, messages: list[bytes]) -> None:
        """Handle messages."""

    def lost(self) -> None:
        """Handle the end of the connection."""


class Connection(asyncio.Protocol):
    """A connection.

    Attributes:
        parameters: The parameters that the server has reported.
        pid: The id of the server's process for it.
        alive: Whether it can be used.
        receiver: The borrower, which gets the messages of the server.
        when_lost: Called when the connection has ended, for whatever reason.
    """

    def __init__(self) -> None:
        self.parameters: dict[str, str] = {}
        self.pid = 0
        self.alive = True
        self.receiver: Receiver | None = None
        self.when_lost: Callable[[], None] | None = None
        self._buffer = bytearray()
        self._messages: asyncio.Queue[bytes] = asyncio.Queue()
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    @classmethod
    async def open(
        cls, socket: Path, user: str, password: str, database: str, options: Mapping[str, str] | None = None
    ) -> Self:
        """Connect and log in.

        Args:
            socket: The server's socket.
            user: A role that may log in.
            password: Its password; the superuser needs none.
            database: The database's name.
            options: Further parameters of the startup message.

        Raises:
            DatabaseError: The server refused the connection.
        """
        loop = asyncio.get_running_loop()
        try:
            _, connection = await loop.create_unix_connection(cls, str(socket))
        except OSError as failure:
            raise DatabaseError(f"the server is not running: {failure}", "57P03") from failure
        try:
            await connection._log_in({"user": user, "database": database, **(options or {})}, password)
        except (ScramError, ValueError) as failure:
            connection.close()
            raise DatabaseError(f"the login to the server failed: {failure}", "08P01") from failure
        except BaseException:
            connection.close()
            raise
        return connection

    async def _log_in(self, parameters: dict[str, str], password: str) -> None:
        self.write(wire.startup(parameters))
        scram = ScramClient(password)
        while True:
            raw = await self._next()
            content = wire.body(raw)
            if raw[:1] == b"R":
                kind = int.from_bytes(content[:4], "big")
                if kind == 10:
                    first = scram.first_message()
                    self.write(wire.message(b"p", wire.text(MECHANISM), len(first).to_bytes(4, "big"), first))
                elif kind == 11:
                    self.write(wire.message(b"p", scram.final_message(content[4:])))
                elif kind == 12:
                    scram.verify(content[4:])
                elif kind:
                    raise DatabaseError(f"the server asks for authentication of kind {kind}")
            elif raw[:1] == b"S":
                name, value = content.removesuffix(b"\0").decode().split("\0", 1)
                self.parameters[name] = value
            elif raw[:1] == b"K":
                self.pid = int.from_bytes(content[:4], "big")
            elif raw[:1] == b"Z":
                return

    async def query(self, sql: str) -> list[list[str | None]]:
        """Run one or more SQL statements, and return the rows of all of them as text.

        Raises:
            DatabaseError: A statement failed.
        """
        self.write(wire.message(b"Q", wire.text(sql)))
        rows: list[list[str | None]] = []
        failure: DatabaseError | None = None
        while True:
            try:
                raw = await self._next()
            except DatabaseError as error:
                if not self.alive:
                    raise
                failure = failure or error
                continue
            if raw[:1] == b"D":
                rows.append(_columns(wire.body(raw)))
            elif raw[:1] == b"Z":
                if failure:
                    raise failure
                return rows

    async def _next(self) -> bytes:
        raw = await self._messages.get()
        if raw[:1] == b"E":
            fields = wire.error_fields(raw)
            raise DatabaseError(fields.get("M", "unknown error"), fields.get("C", "XX000"))
        if not raw:
            raise DatabaseError("the server closed the connection", "57P03")
        return raw

    def write(self, data: bytes) -> None:
        """Send messages."""
        assert self._transport
        self._transport.write(data)

    async def drain(self) -> None:
        """Wait until most of the data is sent."""
        await self._writable.wait()

    def pause(self) -> None:
        """Stop receiving until `resume`."""
        if self._transport and self.alive:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Continue receiving."""
        if self._transport and self.alive:
            self._transport.resume_reading()

    def close(self) -> None:
        """Close the connection; the server rolls back its transaction."""
        self.alive = False
        if self._transport:
            self._transport.write(wire.message(b"X"))
            self._transport.close()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Pass complete messages to the borrower, or to the waiting request."""
        self._buffer += data
        messages = wire.split(self._buffer)
        if self.receiver is not None:
            self.receiver.received(messages)
        else:
            for raw in messages:
                self._messages.put_nowait(raw)

    def pause_writing(self) -> None:
        """Block `drain`."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Unblock `drain`."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Notify the user of the connection."""
        self.alive = False
        self._writable.set()
        self._messages.put_nowait(b"")
        if self.receiver is not None:
            self.receiver.lost()
        if self.when_lost is not None:
            self.when_lost()


def _columns(content: bytes) -> list[str | None]:
    """The values in a DataRow, in the text format."""
    values: list[str | None] = []
    at = 2
    for _ in range(int.from_bytes(content[:2], "big")):
        length = int.from_bytes(content[at : at + 4], "big", signed=True)
        at += 4
        values.append(None if length < 0 else content[at : at + length].decode())
        at += max(length, 0)
    return values
