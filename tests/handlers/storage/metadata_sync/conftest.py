"""Both functions in moto, and PostgreSQL; clients and servers, which are slow to make, are made once."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

import psycopg
import pytest

from localaws.engines.postgres.server import PostgresServer, temporary_server
from shared.database import Database
from shared.login import Login
from shared.postgres import Connection
from storage.metadata_sync.migration import migrate
from storage.metadata_sync.postgres import Driver
from tests.handlers.importing import import_handler
from tests.handlers.storage.metadata_sync.world import ENVIRONMENT, World
from tests.handlers.storage.surroundings import REGION, clients_in_moto


@pytest.fixture(scope="module")
def filled_world() -> Iterator[World]:
    """Functions, buckets, table and queue, made once for a file of tests."""
    function = import_handler("storage.metadata_sync.handler", ENVIRONMENT)
    reconciler = import_handler("storage.metadata_sync.reconciler", ENVIRONMENT)
    with clients_in_moto(ENVIRONMENT) as (s3, dynamodb, sqs):
        s3.create_bucket(Bucket="photos", CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket="photos", VersioningConfiguration={"Status": "Enabled"})
        dynamodb.create_table(
            TableName="metadata",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"}
                for name in ("bucket", "key", "modified_shard", "last_modified")
            ],
            KeySchema=[
                {"AttributeName": "bucket", "KeyType": "HASH"},
                {"AttributeName": "key", "KeyType": "RANGE"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-last-modified",
                    "KeySchema": [
                        {"AttributeName": "modified_shard", "KeyType": "HASH"},
                        {"AttributeName": "last_modified", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )
        yield World(function, s3, dynamodb, sqs, reconciler)


@pytest.fixture
def world(filled_world: World) -> Iterator[World]:
    """Functions and surroundings, empty."""
    yield filled_world
    filled_world.empty("photos", key_names=("bucket", "key"))


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for these tests."""
    with temporary_server() as running:
        with psycopg.connect(running.get_uri()) as admin:
            admin.execute("CREATE ROLE rds_iam")  # every RDS for PostgreSQL has this role
        yield running


@dataclass
class LocalDriver(Driver):
    """The driver, but its connections go to a server without TLS and tokens.

    Args:
        uri: The database.
        opened: All connections so far.
    """

    uri: str
    opened: list[Connection] = field(default_factory=list)

    def connect(self, login: Login, token: str) -> Connection:
        """Open a connection."""
        self.opened.append(psycopg.connect(self.uri, autocommit=True, cursor_factory=psycopg.ClientCursor))
        return self.opened[-1]


@pytest.fixture(scope="module")
def driver(server: PostgresServer) -> Iterator[LocalDriver]:
    """The driver of a database in the server."""
    with psycopg.connect(server.get_uri(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE shared")
    made = LocalDriver(server.get_uri(database="shared"))
    with psycopg.connect(made.uri) as connection:
        migrate(connection, "app")
    yield made
    for connection in made.opened:
        connection.close()
    with psycopg.connect(server.get_uri(), autocommit=True) as admin:
        admin.execute("DROP DATABASE shared WITH (FORCE)")


@pytest.fixture(scope="module")
def connected(driver: LocalDriver) -> Iterator[Database]:
    """That database, as the handler uses it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("shared.database.make_token", lambda _: "token")
        yield Database(driver, cast(Login, None))


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """An empty database, as what psycopg connects to."""
    with psycopg.connect(server.get_uri(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE metadata")
        yield server.get_uri(database="metadata")
        admin.execute("DROP DATABASE metadata WITH (FORCE)")
