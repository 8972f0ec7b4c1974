"""The session of a client: forwards its messages over the database connection that it has borrowed."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from localaws.engines.postgres import wire
from localaws.engines.postgres.connection import Connection, DatabaseError
from localaws.engines.postgres.endpoint import Client
from localaws.engines.rds_proxy.pinning import reason_to_pin
from localaws.engines.rds_proxy.pool import BorrowTimeoutError, Key, Pool

_CHUNK = 65536
_MUCH = 1 << 20  # bytes that a slow client has not read yet

_REQUESTS = b"QSF"  # the response to each ends with ReadyForQuery
_EXTENDED = b"PBDEC"  # parts of a request that ends with Sync
_STRAY = b"dcfH"  # copied data after an error of the server, or a request to flush nothing


class Session:
    """Forwards messages between a client and the connection that it has borrowed.

    Args:
        client: The client, logged in.
        key: The kind of connection that it uses.
        pool: The pool to borrow from.
        patience: Returns how many seconds to wait for a connection.
        on_pin: Called with the reason when it is pinned.

    Attributes:
        connection: The borrowed connection.
        pinned: The reason why it is pinned, if it is.
        in_transaction: Whether a transaction is open.
        idle_since: The end of its last request; infinity during one.
    """

    def __init__(
        self,
        client: Client,
        key: Key,
        pool: Pool,
        patience: Callable[[], float],
        on_pin: Callable[[str], None],
    ) -> None:
        self._client = client
        self._key = key
        self._pool = pool
        self._patience = patience
        self._on_pin = on_pin
        self.connection: Connection | None = None
        self.pinned: str | None = None
        self.in_transaction = False
        self.idle_since = time.monotonic()
        self._ended = False
        self._unanswered = 0
        self._incomplete = False  # an extended request has started and not ended
        self._last_request = b""
        self._unnamed = b""  # the last unnamed statement that the client prepared
        self._has_unnamed = False  # whether the server has it
        self._hide_parsed = False
        self._slow: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Serve until the client or the database ends the connection."""
        buffer = bytearray()
        try:
            while data := await self._client.reader.read(_CHUNK):
                buffer += data
                for raw in wire.split(buffer):
                    if raw[:1] == b"X" or not await self._forward(raw):
                        return
                if self.connection is not None:
                    await self.connection.drain()
        finally:
            self._leave()

    def close(self) -> None:
        """End the session."""
        self._ended = (
            True  # Requests that the client has already sent must not run: they may depend on lost ones.
        )
        self._client.writer.close()
        self._client.reader.feed_eof()  # otherwise it ends only when the client responds to the end of TLS

    def _leave(self) -> None:
        if self.connection is not None:
            connection, self.connection = self.connection, None
            connection.receiver = None
            # The server rolls back an open transaction when the connection closes.
            self._pool.discard(connection)

    # --- From the client to the database

    async def _forward(self, raw: bytes) -> bool:
        """Forward a message, over a new connection if there is none; False ends the session."""
        kind = raw[:1]
        if self._ended:
            return False
        if kind in (b"Q", b"P"):
            self._look(raw)
        if self.connection is None:
            if kind in _STRAY:
                return True
            if kind == b"S":  # a Sync without a request needs no database
                self._client.writer.write(wire.ready())
                return True
            self.idle_since = math.inf
            if not await self._borrow():
                return False
        assert self.connection is not None
        if kind in b"BD" and self._unnamed and not self._has_unnamed and _uses_unnamed(raw):
            self.connection.write(self._unnamed)
            self._has_unnamed = self._hide_parsed = True
        if kind in _REQUESTS:
            self._unanswered += 1
            self._last_request = kind
            self._incomplete = False
        elif kind in _EXTENDED:
            self._incomplete = True
        self.idle_since = math.inf
        self.connection.write(raw)
        return True

    def _look(self, raw: bytes) -> None:
        """Find out whether a statement pins the session."""
        content = wire.body(raw)
        if raw[:1] == b"P":
            name, _, content = content.partition(b"\0")
            if name:
                self._pin("a named prepared statement")
            else:
                self._unnamed, self._has_unnamed = raw, True
        reason = reason_to_pin(content.partition(b"\0")[0].decode(errors="replace"))
        if reason:
            self._pin(reason)

    def _pin(self, reason: str) -> None:
        if self.pinned is None:
            self.pinned = reason
            self._on_pin(reason)

    async def _borrow(self) -> bool:
        try:
            connection = await self._pool.borrow(self._key, self._patience())
        except BorrowTimeoutError:
            self._client.refuse("08000", "Timed-out waiting to acquire database connection.")
            return False
        except DatabaseError as error:
            self._client.refuse(error.code, f"Request returned an error: {error}")
            return False
        if self._ended:
            self._pool.give_back(connection)
            return False
        if not connection.alive:
            return await self._borrow()
        connection.receiver = self
        self.connection = connection
        return True

    # --- From the database to the client

    def received(self, messages: list[bytes]) -> None:
        """Forward messages of the database, and return the connection after the last response."""
        passed = []
        for raw in messages:
            kind = raw[:1]
            if kind == b"1" and self._hide_parsed:
                self._hide_parsed = False
                continue
            if kind == b"Z":
                self._unanswered -= 1
                self.in_transaction = raw[5:6] != b"I"
                self.idle_since = time.monotonic()
            elif kind in (b"G", b"W") and self._last_request == b"S":
                self._unanswered -= 1  # during COPY FROM, the server ignores Sync
            passed.append(raw)
        self._client.writer.write(b"".join(passed))
        if not self._unanswered and not self._incomplete and not self.in_transaction and not self.pinned:
            self._release()
        elif self._client.writer.transport.get_write_buffer_size() > _MUCH and self._slow is None:
            self._slow = asyncio.ensure_future(self._wait_for_client())

    def _release(self) -> None:
        if self.connection is not None:
            connection, self.connection = self.connection, None
            connection.receiver = None
            self._has_unnamed = False
            self._pool.give_back(connection)

    async def _wait_for_client(self) -> None:
        """Pause the database until the client has read what was sent."""
        connection = self.connection
        if connection is not None:
            connection.pause()
            try:
                await self._client.writer.drain()
            finally:
                connection.resume()
                self._slow = None

    def lost(self) -> None:
        """End the session with its connection to the database, which held a transaction or session state."""
        self.connection = None
        self.close()


def _uses_unnamed(raw: bytes) -> bool:
    """Whether a Bind or Describe refers to the unnamed prepared statement."""
    content = wire.body(raw)
    if raw[:1] == b"D":
        return content == b"S\0"
    return content.partition(b"\0")[2][:1] == b"\0"
