"""Rows in PostgreSQL: the table ``objects``, through RDS Proxy and without ever pinning a session.

Each write is one statement with a condition. Keys and sequencers compare by their bytes (``COLLATE "C"``), so
the rows of a bucket are in the order of its listing. A statement may run twice (``shared/database.py``): a
write whose answer was lost is refused the second time, and handled like any other refusal.
"""

# ruff: noqa: S608 - only names of our own columns are formatted into statements, never values

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from psycopg import DataError
from psycopg.types.json import Jsonb

from shared.database import Database
from shared.login import Login
from shared.postgres import Connection, diagnose, errors, is_open, open_connection

from .objects import Cause, Row, StoredObject, Unstorable

# After this time a statement fails, and Lambda tries the event again.
_SECONDS = 20.0
_PAGE = 1000

_TIMES = ("last_modified", "restored_until")
_MAPS = ("metadata", "tags")
_SEEN = tuple(one.name for one in fields(StoredObject))
_COLUMNS = (*_SEEN, "deleted", "sequencer", "revision", "looked_at")
_ROW = ", ".join(_COLUMNS)


def make_database(environment: Mapping[str, str]) -> Database:
    """Make the database that the environment variables describe. It connects when it is first used."""
    return Database(Driver(), Login.from_environment(environment))


class Driver:
    """PostgreSQL with this schema, as ``shared.database.Database`` uses it."""

    errors = errors
    diagnose = staticmethod(diagnose)
    is_open = staticmethod(is_open)

    def connect(self, login: Login, token: str) -> Connection:
        """Open a connection."""
        return open_connection(login, token, name="metadata-sync")


class PostgresTable:
    """The rows of a bucket, and the state of its reconciler.

    Args:
        database: The database.
        bucket: The name of the bucket.
        tombstone_seconds: How long a tombstone is retained.
        state_name: Distinguishes the state of this reconciler from that of others. Default: the bucket.
        clock: Returns the time in seconds since 1970; tests replace it.
    """

    def __init__(
        self,
        database: Database,
        bucket: str,
        *,
        tombstone_seconds: int,
        state_name: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._lock = threading.Lock()  # the reconciler's threads share the connection
        self._bucket = bucket
        self._state_name = state_name or bucket
        self._tombstone_seconds = tombstone_seconds
        self._clock = clock

    def read(self, key: str) -> Row | None:
        """Return the current row."""
        statement = f"SELECT {_ROW} FROM objects WHERE bucket = %s AND key = %s"
        return self._first(statement, self._bucket, key)

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
        """Write a row if nothing has written it since it was read; return whether it was written."""
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
        """Return all rows with later keys, in the order of the UTF-8 of their keys."""
        statement = (
            f"SELECT key, {_ROW} FROM objects WHERE bucket = %s AND key > %s AND key >= %s "
            "AND starts_with(key, %s) ORDER BY key LIMIT %s"
        )
        after = after.partition("\0")[0]  # no row has NUL in its key, so the same rows follow
        while True:
            values = (self._bucket, after, prefix, prefix, _PAGE)
            page = self._run(statement, *values)
            yield from ((str(key), _to_row(found)) for key, *found in page)
            if len(page) < _PAGE:
                return
            after = str(page[-1][0])

    def remove_expired(self) -> None:
        """Remove expired tombstones."""
        statement = "DELETE FROM objects WHERE bucket = %s AND deleted AND expires_at < %s RETURNING key"
        self._run(statement, self._bucket, int(self._clock()))

    def load_state(self) -> tuple[str, int]:
        """Return the state that was saved last, and its revision; at first an empty string and 0."""
        found = self._run("SELECT state, revision FROM reconciliations WHERE bucket = %s", self._state_name)
        return (str(found[0][0]), int(found[0][1])) if found else ("", 0)

    def save_state(self, state: str, revision: int) -> bool:
        """Save the state if it still has this revision; return whether it was saved."""
        if not revision:
            insert = (
                "INSERT INTO reconciliations (bucket, state, revision) VALUES (%s, %s, 1) "
                "ON CONFLICT DO NOTHING RETURNING revision"
            )
            return bool(self._run(insert, self._state_name, state))
        update = (
            "UPDATE reconciliations SET state = %s, revision = revision + 1 "
            "WHERE bucket = %s AND revision = %s RETURNING revision"
        )
        return bool(self._run(update, state, self._state_name, revision))

    def _first(self, statement: str, *values: object) -> Row | None:
        rows = self._run(statement, *values)
        return _to_row(rows[0]) if rows else None

    def _run(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Execute a statement that may run twice, and return all rows."""
        try:
            with self._lock:
                return self._database.run(
                    lambda connection: connection.execute(statement.encode(), values).fetchall(),
                    seconds=_SECONDS,
                )
        except (DataError, UnicodeError) as error:
            raise Unstorable(f"PostgreSQL cannot store this: {error}") from error

    def _values(self, key: str, seen: StoredObject | None, cause: Cause) -> dict[str, object]:
        values = {"bucket": self._bucket, "key": key, "event_name": cause.name, "event_time": cause.time}
        described: dict[str, object] = dict.fromkeys((*_SEEN, "expires_at"))
        if seen is None:
            described["expires_at"] = int(self._clock()) + self._tombstone_seconds
        else:
            described |= {name: value or None for name, value in asdict(seen).items()} | {"size": seen.size}
            described |= {name: Jsonb(value) for name in _MAPS if (value := described[name])}
        return {**values, **described, "deleted": seen is None}


def _upsert(values: Mapping[str, object], condition: str) -> str:
    changes = ", ".join(f"{name} = excluded.{name}" for name in values if name not in ("bucket", "key"))
    return (
        f"INSERT INTO objects AS o ({', '.join(values)}, revision) "
        f"VALUES ({', '.join(['%s'] * len(values))}, 1) "
        f"ON CONFLICT (bucket, key) DO UPDATE SET {changes}, revision = o.revision + 1 "
        f"WHERE {condition} RETURNING {_ROW}"
    )


def _to_row(found: Any) -> Row:
    columns = dict(zip(_COLUMNS, found, strict=True))
    columns |= {name: _in_utc(columns[name]) for name in _TIMES}
    described: dict[str, Any] = {name: columns[name] for name in _SEEN if columns[name] is not None}
    return Row(
        object=None if columns["deleted"] else StoredObject(**described),
        sequencer=columns["sequencer"] or "",
        revision=columns["revision"],
        looked_at=columns["looked_at"],
    )


def _in_utc(moment: datetime | None) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if moment else ""
