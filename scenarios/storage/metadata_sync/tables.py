"""The tables with the rows of a bucket, read directly and not through the functions that write them."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from boto3.dynamodb.conditions import Attr, Key
from psycopg.rows import dict_row

from scenarios.framework import DeployedStack, ScenarioFailed

Row = Mapping[str, Any]

# The number of partitions that a bucket has in the index by-last-modified.
_SHARDS = 8
_STATES = "#reconciler"

_PORT = 5432
_REACHABLE = 5  # seconds; where the network admits only the functions, packets are dropped
_CONNECT = 60  # seconds for TLS, the IAM token and the database, on a busy machine


class Table(Protocol):
    """The rows of one bucket."""

    name: str

    def rows(self, prefix: str) -> dict[str, Row]:
        """Return every row whose key starts with this, including tombstones."""

    def keys_below(self, prefix: str) -> list[str]:
        """Answer a user's question: which objects are below this prefix, in order?"""

    def keys_since(self, moment: str, prefix: str) -> set[str]:
        """Answer a user's question: which objects have changed since then?"""

    def forget(self, keys: Iterable[str]) -> None:
        """Delete rows."""

    def forget_reconciliations(self) -> None:
        """Delete the reconciler's state, as if it had never run."""


class DynamoTable:
    """Rows in DynamoDB.

    Args:
        stack: The deployed stack.
        bucket: The bucket that the rows are about.
        table: The name of the table.
    """

    name = "DynamoDB"

    def __init__(self, stack: DeployedStack, bucket: str, table: str) -> None:
        self._table = stack.session.resource("dynamodb").Table(table)
        self._bucket = bucket

    def rows(self, prefix: str) -> dict[str, Row]:
        """Return every row whose key starts with this, including tombstones."""
        return {str(row["key"]): row for row in self._below(prefix)}

    def keys_below(self, prefix: str) -> list[str]:
        """Query one partition, in the order of the keys."""
        return [str(row["key"]) for row in self._below(prefix, FilterExpression=Attr("deleted").eq(False))]

    def keys_since(self, moment: str, prefix: str) -> set[str]:
        """Query each partition of the index."""
        shards = (Key("modified_shard").eq(f"{self._bucket}#{shard}") for shard in range(_SHARDS))
        since = Key("last_modified").gte(moment)
        found = (
            str(row["key"])
            for shard in shards
            for row in self._query(IndexName="by-last-modified", KeyConditionExpression=shard & since)
        )
        return {key for key in found if key.startswith(prefix)}

    def forget(self, keys: Iterable[str]) -> None:
        """Delete rows."""
        for key in keys:
            self._table.delete_item(Key={"bucket": self._bucket, "key": key})

    def forget_reconciliations(self) -> None:
        """Delete the reconciler's state, as if it had never run."""
        self._table.delete_item(Key={"bucket": _STATES, "key": self._bucket})

    def _below(self, prefix: str, **more: Any) -> Iterator[Row]:
        below = Key("bucket").eq(self._bucket) & Key("key").begins_with(prefix)
        return self._query(ConsistentRead=True, KeyConditionExpression=below, **more)

    def _query(self, **query: Any) -> Iterator[Row]:
        while True:
            page = self._table.query(**query)
            yield from page["Items"]
            if "LastEvaluatedKey" not in page:
                return
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]


class PostgresTable:
    """Rows in PostgreSQL, through the same proxy that the functions use.

    Args:
        stack: The deployed stack.
        bucket: The bucket that the rows are about.
        endpoint: The host name of the proxy.
        user: The user of the database.
        database: The name of the database.
    """

    name = "PostgreSQL"

    def __init__(self, stack: DeployedStack, bucket: str, endpoint: str, user: str, database: str) -> None:
        self._rds = stack.session.client("rds")
        self._region = stack.session.region_name
        self._bucket = bucket
        self._endpoint = endpoint
        self._user = user
        self._database = database

    def is_reachable(self) -> bool:
        """Whether this process can connect: in AWS the network of the proxy admits only the functions."""
        try:
            socket.create_connection((self._endpoint, _PORT), timeout=_REACHABLE).close()
        except OSError:
            return False
        return True

    def rows(self, prefix: str) -> dict[str, Row]:
        """Return every row whose key starts with this, including tombstones."""
        found = self._select("SELECT * FROM objects WHERE bucket = %s AND key ^@ %s", self._bucket, prefix)
        return {str(row["key"]): {name: _plain(value) for name, value in row.items()} for row in found}

    def keys_below(self, prefix: str) -> list[str]:
        """Query a range of the primary key."""
        found = self._select(
            "SELECT key FROM objects WHERE bucket = %s AND key ^@ %s AND NOT deleted ORDER BY key",
            self._bucket,
            prefix,
        )
        return [str(row["key"]) for row in found]

    def keys_since(self, moment: str, prefix: str) -> set[str]:
        """Query a range of the second index."""
        found = self._select(
            "SELECT key FROM objects WHERE bucket = %s AND last_modified >= %s AND NOT deleted "
            "ORDER BY last_modified",
            self._bucket,
            moment,
        )
        return {key for row in found if (key := str(row["key"])).startswith(prefix)}

    def forget(self, keys: Iterable[str]) -> None:
        """Delete rows."""
        with self._connection() as connection:
            connection.execute(
                "DELETE FROM objects WHERE bucket = %s AND key = ANY(%s)", (self._bucket, list(keys))
            )

    def forget_reconciliations(self) -> None:
        """Empty the reconciler's state, as if it had never run; the user may not delete it."""
        with self._connection() as connection:
            connection.execute("UPDATE reconciliations SET state = '{}' WHERE bucket = %s", (self._bucket,))

    def _select(self, query: str, *values: str) -> list[dict[str, Any]]:
        with self._connection() as connection:
            return connection.execute(query.encode(), values).fetchall()

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[dict[str, Any]]]:
        token = self._rds.generate_db_auth_token(self._endpoint, _PORT, self._user, self._region)
        try:
            connection = psycopg.connect(
                host=self._endpoint,
                port=_PORT,
                user=self._user,
                password=token,
                dbname=self._database,
                sslmode="require",
                connect_timeout=_CONNECT,
                row_factory=dict_row,
            )
        except psycopg.OperationalError as error:
            raise ScenarioFailed(f"the proxy refused a connection: {error}") from error
        with connection:
            yield connection


def _plain(value: object) -> object:
    """Return a value in the form that it has in DynamoDB."""
    return in_utc(value) if isinstance(value, datetime.datetime) else value


def in_utc(moment: datetime.datetime) -> str:
    """Return a time in the form that it has in a row."""
    return moment.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
