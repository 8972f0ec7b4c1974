"""The database connections that the clients of a proxy share."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from localaws.engines.postgres.connection import Connection, DatabaseError

#: Connections with the same role, database and other parameters can be shared.
Key = tuple[tuple[str, str], ...]

_RETRY_SECONDS = 0.05


class BorrowTimeoutError(Exception):
    """No connection became free in time."""


@dataclass(eq=False)
class _Waiting:
    key: Key
    connection: asyncio.Future[Connection]


class Pool:
    """Lends connections in the order of requests, up to a limit.

    Args:
        connect: Opens a connection of a kind.
        limit: Returns the limit of connections.

    Attributes:
        lent: The borrowed connections, with their kinds.
    """

    def __init__(self, connect: Callable[[Key], Awaitable[Connection]], limit: Callable[[], int]) -> None:
        self._connect = connect
        self._limit = limit
        self.lent: dict[Connection, Key] = {}
        self._idle: dict[Connection, Key] = {}
        self._queue: deque[_Waiting] = deque()
        self._opening: Counter[Key] = Counter()
        self._attempts: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None

    @property
    def size(self) -> int:
        """The number of connections, including those that are being opened."""
        return len(self.lent) + len(self._idle) + self._opening.total()

    @property
    def queue_length(self) -> int:
        """The number of sessions that wait for a connection."""
        return sum(not waiting.connection.done() for waiting in self._queue)

    async def borrow(self, key: Key, seconds: float) -> Connection:
        """Wait for a connection.

        Args:
            key: Its kind.
            seconds: The maximum wait.

        Raises:
            BorrowTimeoutError: It took longer.
            DatabaseError: The database refuses such connections.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting(key, loop.create_future())
        self._queue.append(waiting)
        timer = loop.call_later(seconds, _fail, waiting, BorrowTimeoutError())
        try:
            self._serve()
            return await waiting.connection
        except asyncio.CancelledError:
            if not waiting.connection.cancelled() and not waiting.connection.exception():
                self.give_back(waiting.connection.result())
            raise
        finally:
            timer.cancel()

    def give_back(self, connection: Connection) -> None:
        """Return a connection whose session state has not changed."""
        key = self.lent.pop(connection, None)
        if key is not None and connection.alive:
            while self._queue and self._queue[0].connection.done():
                self._queue.popleft()
            if self._queue and self._queue[0].key == key:
                self.lent[connection] = key
                self._queue.popleft().connection.set_result(connection)
                return
            self._idle[connection] = key
        self._serve()

    def discard(self, connection: Connection) -> None:
        """Return a connection that must not be used again."""
        connection.close()
        self.lent.pop(connection, None)
        self._serve()

    def close(self) -> None:
        """Close all connections, and cancel all waits."""
        for waiting in self._queue:
            waiting.connection.cancel()
        for attempt in self._attempts:
            attempt.cancel()
        for connection in (*self.lent, *self._idle):
            connection.when_lost = None
            connection.close()
        if self._retry:
            self._retry.cancel()

    def _serve(self) -> None:
        """Lend idle connections in the order of requests, and open new ones up to the limit."""
        coming, limit = self._opening.copy(), self._limit() if self._queue else 0
        left: deque[_Waiting] = deque()
        while self._queue:
            waiting = self._queue.popleft()
            if waiting.connection.done():
                continue
            found = next((each for each, key in self._idle.items() if key == waiting.key), None)
            if found:
                self.lent[found] = self._idle.pop(found)
                waiting.connection.set_result(found)
                continue
            left.append(waiting)
            if coming[waiting.key]:
                coming[waiting.key] -= 1
            elif self._retry or not (self.size < limit or self._make_room(limit)):
                break  # later requests must wait as well
            else:
                self._open(waiting.key)
        self._queue.extendleft(reversed(left))

    def _make_room(self, limit: int) -> bool:
        """Close a connection of a kind that the next in the queue cannot use."""
        if self._idle and self.size <= limit:
            connection, _ = self._idle.popitem()
            connection.close()
            return True
        return False

    def _open(self, key: Key) -> None:
        self._opening[key] += 1
        attempt = asyncio.ensure_future(self._try_to_open(key))
        self._attempts.add(attempt)
        attempt.add_done_callback(self._attempts.discard)

    async def _try_to_open(self, key: Key) -> None:
        try:
            connection = await self._connect(key)
        except DatabaseError as error:
            if error.passes:
                self._retry_soon()
            else:
                self._fail_all(key, error)
            return
        finally:
            self._opening[key] -= 1
        if not connection.alive:
            self._retry_soon()
            return
        connection.when_lost = functools.partial(self._lost, connection)
        self._idle[connection] = key
        self._serve()

    def _retry_soon(self) -> None:
        """Retry soon: the database is restarting, or has no connection left."""

        def retry() -> None:
            self._retry = None
            self._serve()

        if not self._retry:
            self._retry = asyncio.get_running_loop().call_later(_RETRY_SECONDS, retry)

    def _fail_all(self, key: Key, error: DatabaseError) -> None:
        for waiting in self._queue:
            if waiting.key == key:
                _fail(waiting, error)

    def _lost(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self.lent.pop(connection, None)
        self._serve()


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.connection.done():
        waiting.connection.set_exception(error)
