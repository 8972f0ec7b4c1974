"""The tables with the rows of a bucket, read directly and not through the functions that write them."""

from __future__ import annotations

import datetime
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import psycopg
from boto3.dynamodb.types import TypeDeserializer
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
        self._dynamodb = stack.client("dynamodb")
        self._bucket = bucket
        self._table = table

    def rows(self, prefix: str) -> dict[str, Row]:
        """Return every row whose key starts with this, including tombstones."""
        return {str(row["key"]): row for row in self._query(prefix)}

    def keys_below(self, prefix: str) -> list[str]:
        """Query one partition, in the order of the keys."""
        return [str(row["key"]) for row in self._query(prefix, FilterExpression="deleted = :no")]

    def keys_since(self, moment: str, prefix: str) -> set[str]:
        """Query each partition of the index."""
        return {
            str(row["key"])
            for shard in range(_SHARDS)
            for row in self._pages(
                IndexName="by-last-modified",
                KeyConditionExpression="modified_shard = :shard AND last_modified >= :moment",
                ExpressionAttributeValues={
                    ":shard": {"S": f"{self._bucket}#{shard}"},
                    ":moment": {"S": moment},
                },
            )
            if str(row["key"]).startswith(prefix)
        }

    def forget(self, keys: Iterable[str]) -> None:
        """Delete rows."""
        for key in keys:
            self._delete(self._bucket, key)

    def forget_reconciliations(self) -> None:
        """Delete the reconciler's state, as if it had never run."""
        self._delete(_STATES, self._bucket)

    def _delete(self, bucket: str, key: str) -> None:
        self._dynamodb.delete_item(TableName=self._table, Key={"bucket": {"S": bucket}, "key": {"S": key}})

    def _query(self, prefix: str, **more: Any) -> Iterator[Row]:
        values: dict[str, Any] = {":bucket": {"S": self._bucket}, ":prefix": {"S": prefix}}
        if more:
            values[":no"] = {"BOOL": False}
        return self._pages(
            ConsistentRead=True,
            KeyConditionExpression="#bucket = :bucket AND begins_with(#key, :prefix)",
            ExpressionAttributeNames={"#bucket": "bucket", "#key": "key"},
            ExpressionAttributeValues=values,
            **more,
        )

    def _pages(self, **query: Any) -> Iterator[Row]:
        for page in self._dynamodb.get_paginator("query").paginate(TableName=self._table, **query):
            for item in page["Items"]:
                yield {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


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
