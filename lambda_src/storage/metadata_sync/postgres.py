"""Rows in PostgreSQL: the table ``objects``, through RDS Proxy and without ever pinning a session.

Each write is one statement with its condition. Keys and sequencers compare by their bytes (``COLLATE "C"``),
so rows of a bucket are in the order of its listing. Each statement may run twice (``shared/database.py``): a
write whose answer was lost is refused the second time, which is looked into as any refusal is.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from errors import UnstorableKey
from migrations import migrate
from objects import Cause, Row, StoredObject
from psycopg.types.json import Jsonb

from shared.database import Database
from shared.login import Login
from shared.postgres import Connection, diagnose, errors, is_open, open_connection

__all__ = ["connect", "diagnose", "errors", "is_open", "make_tables"]

T = TypeVar("T")

# A statement that cannot be done in this time is raised, and tried again by Lambda.
_SECONDS = 20.0
_PAGE = 1000

_TEXTS = ("version_id", "etag", "checksum", "storage_class", "content_type", "restore", "replication_status")
_TIMES = ("last_modified", "restored_until")
_MAPS = ("metadata", "tags")
_SEEN = ("size", *_TEXTS, *_TIMES, *_MAPS)
_WRITTEN = (*_SEEN, "deleted", "expires_at", "event_name", "event_time")
_ROW = ", ".join((*_SEEN, "deleted", "sequencer", "revision", "looked_at"))


def make_database(environment: Mapping[str, str]) -> Database:
    """Make the lasting connection, as the environment variables say."""
    return Database(_DRIVER, Login.from_environment(environment))


def connect(login: Login, token: str) -> Connection:
    """Open a connection, over TLS, to the host that its certificate names and to no other."""
    return open_connection(login, token, name="metadata-sync")


def make_tables(connection: Connection) -> None:
    """Bring the schema to its newest version."""
    migrate(connection)


class _Driver:
    errors = errors
    connect = staticmethod(connect)
    diagnose = staticmethod(diagnose)
    is_open = staticmethod(is_open)
    make_tables = staticmethod(make_tables)


_DRIVER = _Driver()


class _Table:
    """One connection, used by one thread at a time."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do some work that may be done twice."""
        with self._lock:
            return self._database.run(work, seconds=_SECONDS)


class PostgresRows:
    """The rows of a bucket.

    Args:
        database: The connection.
        bucket: Name of the bucket.
        tombstone_seconds: How long a tombstone is kept.
        clock: Tells the time, in seconds since 1970; replaced by tests.
    """

    def __init__(
        self,
        database: Database,
        bucket: str,
        *,
        tombstone_seconds: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._table = _Table(database)
        self._bucket = bucket
        self._tombstone_seconds = tombstone_seconds
        self._clock = clock

    def read(self, key: str) -> Row | None:
        """Return the row as it is now."""
        return self._first(
            f"SELECT {_ROW} FROM objects WHERE bucket = %s AND key = %s", self._bucket, _storable(key)
        )

    def write_newer(
        self, key: str, seen: StoredObject | None, *, sequencer: str, cause: Cause
    ) -> tuple[bool, Row | None]:
        """Write a row unless it has this sequencer or a later one; return the row if it was written."""
        values = {**self._values(key, seen, cause), "sequencer": sequencer}
        condition = "o.sequencer IS NULL OR o.sequencer < excluded.sequencer"
        row = self._first(_upsert(values, condition), *values.values())
        return (True, row) if row else (False, self.read(key))

    def write_instead(
        self, key: str, seen: StoredObject | None, *, instead_of: Row | None, cause: Cause
    ) -> bool:
        """Write a row if it is still the one that was read; its sequencer stays. Say whether that was so."""
        values = {**self._values(key, seen, cause), "looked_at": int(self._clock())}
        if instead_of is None:
            return self._first(_upsert(values, "false"), *values.values()) is not None
        changes = ", ".join(f"{name} = %s" for name in values)
        statement = (
            f"UPDATE objects SET {changes}, revision = revision + 1 "
            f"WHERE bucket = %s AND key = %s AND revision = %s RETURNING {_ROW}"
        )
        where = (self._bucket, key, instead_of.revision)
        return self._first(statement, *values.values(), *where) is not None

    def walk(self, *, after: str, prefix: str) -> Iterator[tuple[str, Row]]:
        """Return all rows with later keys, in the order of the bytes of their keys."""
        statement = (
            f"SELECT key, {_ROW} FROM objects WHERE bucket = %s AND key > %s AND key >= %s "
            "AND starts_with(key, %s) ORDER BY key LIMIT %s"
        )
        while True:
            values = (self._bucket, after, prefix, prefix, _PAGE)
            page = self._table.run(lambda connection: _all(connection, statement, values))  # noqa: B023
            yield from ((str(key), _to_row(found)) for key, *found in page)
            if len(page) < _PAGE:
                return
            after = str(page[-1][0])

    def remove_expired(self) -> None:
        """Remove tombstones whose time is over."""
        statement = "DELETE FROM objects WHERE bucket = %s AND deleted AND expires_at < %s RETURNING key"
        self._table.run(lambda connection: _all(connection, statement, (self._bucket, int(self._clock()))))

    def _first(self, statement: str, *values: object) -> Row | None:
        rows = self._table.run(lambda connection: _all(connection, statement, values))
        return _to_row(rows[0]) if rows else None

    def _values(self, key: str, seen: StoredObject | None, cause: Cause) -> dict[str, object]:
        values: dict[str, object] = dict.fromkeys(_WRITTEN)
        values |= {"event_name": cause.name, "event_time": cause.time, "deleted": seen is None}
        if seen is None:
            values["expires_at"] = int(self._clock()) + self._tombstone_seconds
        else:
            values |= {name: getattr(seen, name) or None for name in (*_TEXTS, *_TIMES)}
            values |= {name: Jsonb(value) for name in _MAPS if (value := getattr(seen, name))}
            values["size"] = seen.size
        return {"bucket": self._bucket, "key": _storable(key), **values}


class PostgresStates:
    """The reconciler's state."""

    def __init__(self, database: Database, bucket: str) -> None:
        self._table = _Table(database)
        self._bucket = bucket

    def load(self) -> tuple[str, int]:
        """Return what was saved last and its revision; nothing and 0 at first."""
        statement = "SELECT state, revision FROM reconciliations WHERE bucket = %s"
        found = self._table.run(lambda connection: _all(connection, statement, (self._bucket,)))
        return (str(found[0][0]), int(found[0][1])) if found else ("", 0)

    def save(self, state: str, revision: int) -> bool:
        """Save it if nobody else has since that revision; say whether that was so."""
        if revision:
            statement = (
                "UPDATE reconciliations SET state = %s, revision = revision + 1 "
                "WHERE bucket = %s AND revision = %s RETURNING revision"
            )
            values: tuple[object, ...] = (state, self._bucket, revision)
        else:
            statement = (
                "INSERT INTO reconciliations (state, bucket, revision) VALUES (%s, %s, 1) "
                "ON CONFLICT DO NOTHING RETURNING revision"
            )
            values = (state, self._bucket)
        return bool(self._table.run(lambda connection: _all(connection, statement, values)))


def _upsert(values: Mapping[str, object], condition: str) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in values if name not in ("bucket", "key"))
    return (
        f"INSERT INTO objects AS o ({', '.join(values)}, revision) "
        f"VALUES ({', '.join(['%s'] * len(values))}, 1) "
        f"ON CONFLICT (bucket, key) DO UPDATE SET {changes}, revision = o.revision + 1 "
        f"WHERE {condition} RETURNING {_ROW}"
    )


def _storable(key: str) -> str:
    if "\0" in key:
        raise UnstorableKey("the key has the character NUL, which PostgreSQL cannot hold")
    return key


def _all(connection: Connection, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
    return connection.execute(statement.encode(), values).fetchall()


def _to_row(found: Any) -> Row:
    columns = dict(zip((*_SEEN, "deleted", "sequencer", "revision", "looked_at"), found, strict=True))
    stored = None
    if not columns["deleted"]:
        texts: dict[str, Any] = {name: columns[name] or "" for name in _TEXTS}
        times: dict[str, Any] = {name: _in_utc(columns[name]) for name in _TIMES}
        maps: dict[str, Any] = {name: columns[name] or {} for name in _MAPS}
        stored = StoredObject(size=columns["size"], **texts, **times, **maps)
    return Row(
        object=stored,
        sequencer=columns["sequencer"] or "",
        revision=columns["revision"],
        looked_at=columns["looked_at"],
    )


def _in_utc(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
