"""The tables with the metadata of a bucket, read past the functions that write them."""

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

# How many partitions of the index by-last-modified there are for a bucket.
_SHARDS = 8
_STATES = "#reconciler"

_PORT, _PATIENCE = 5432, 5


class Table(Protocol):
    """Where the rows of one bucket are."""

    name: str

    def rows(self, prefix: str) -> dict[str, Row]:
        """Every row whose key starts so, tombstones too."""

    def keys_below(self, prefix: str) -> list[str]:
        """What a user asks: which objects are below this prefix, in order?"""

    def keys_since(self, moment: str, prefix: str) -> set[str]:
        """What a user asks: which objects changed since then?"""

    def forget(self, keys: Iterable[str]) -> None:
        """Delete rows."""

    def forget_reconciliations(self) -> None:
        """Let the reconciler think that it has never run."""


class DynamoTable:
    """Rows in DynamoDB.

    Args:
        stack: Reaches the table.
        bucket: The bucket that the rows are about.
        table: Name of the table.
    """

    name = "DynamoDB"

    def __init__(self, stack: DeployedStack, bucket: str, table: str) -> None:
        self._dynamodb = stack.client("dynamodb")
        self._bucket = bucket
        self._table = table

    def rows(self, prefix: str) -> dict[str, Row]:
        """Every row whose key starts so, tombstones too."""
        return {str(row["key"]): row for row in self._query(prefix)}

    def keys_below(self, prefix: str) -> list[str]:
        """Which objects are below this prefix: one partition, in the order of the keys."""
        return [str(row["key"]) for row in self._query(prefix, FilterExpression="deleted = :no")]

    def keys_since(self, moment: str, prefix: str) -> set[str]:
        """Which objects changed since then: each partition of the index."""
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
        """Let the reconciler think that it has never run."""
        self._delete(_STATES, self._bucket)

    def _delete(self, bucket: str, key: str) -> None:
        self._dynamodb.delete_item(TableName=self._table, Key={"bucket": {"S": bucket}, "key": {"S": key}})

    def _query(self, prefix: str, **more: Any) -> Iterator[Row]:
        values = {":bucket": {"S": self._bucket}, ":prefix": {"S": prefix}}
        if more:
            values[":no"] = {"BOOL": False}  # type: ignore[dict-item] # DynamoDB's way to write values
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
    """Rows in PostgreSQL, reached through the proxy as the functions reach it.

    Args:
        stack: Reaches the proxy, where the network lets it.
        bucket: The bucket that the rows are about.
        endpoint: The proxy.
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
        """Whether the proxy answers: in AWS its network lets nobody in but the functions."""
        try:
            socket.create_connection((self._endpoint, _PORT), timeout=_PATIENCE).close()
        except OSError:
            return False
        return True

    def rows(self, prefix: str) -> dict[str, Row]:
        """Every row whose key starts so, tombstones too."""
        found = self._select("SELECT * FROM objects WHERE bucket = %s AND key ^@ %s", self._bucket, prefix)
        return {str(row["key"]): {name: _plain(value) for name, value in row.items()} for row in found}

    def keys_below(self, prefix: str) -> list[str]:
        """Which objects are below this prefix: a range of the primary key."""
        found = self._select(
            "SELECT key FROM objects WHERE bucket = %s AND key ^@ %s AND NOT deleted ORDER BY key",
            self._bucket,
            prefix,
        )
        return [str(row["key"]) for row in found]

    def keys_since(self, moment: str, prefix: str) -> set[str]:
        """Which objects changed since then: a range of the second index."""
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
        """Let the reconciler think that it has never run."""
        with self._connection() as connection:
            connection.execute("DELETE FROM reconciliations WHERE bucket = %s", (self._bucket,))

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
                connect_timeout=_PATIENCE,
                row_factory=dict_row,
            )
        except psycopg.OperationalError as error:
            raise ScenarioFailed(f"the proxy refused a connection: {error}") from error
        with connection:
            yield connection


def _plain(value: object) -> object:
    """A value as DynamoDB holds it."""
    if isinstance(value, datetime.datetime):
        return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return value
