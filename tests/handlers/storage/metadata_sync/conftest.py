"""The handler's modules for each target; clients, which are slow to make, are made once."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from localaws.engines.postgres.server import PostgresServer, temporary_server
from tests.handlers.loading import LoadedHandler
from tests.handlers.storage.metadata_sync.world import ENVIRONMENT, POSTGRES, World
from tests.handlers.storage.surroundings import REGION, clients_in_moto


@pytest.fixture(scope="session")
def metadata_sync(load: Callable[..., LoadedHandler]) -> LoadedHandler:
    """The modules, set up for DynamoDB. Their clients reach nothing unless ``world`` is there."""
    return load("storage", "metadata-sync", environment=ENVIRONMENT)


@pytest.fixture(scope="session")
def with_postgres(load: Callable[..., LoadedHandler]) -> LoadedHandler:
    """The modules, set up for PostgreSQL."""
    return load("storage", "metadata-sync", environment={**ENVIRONMENT, **POSTGRES})


@pytest.fixture(scope="module")
def filled_world(metadata_sync: LoadedHandler) -> Iterator[World]:
    """Buckets, table and queue, made once for a file of tests."""
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
        yield World(metadata_sync, s3, dynamodb, sqs)


@pytest.fixture
def world(filled_world: World) -> Iterator[World]:
    """The function and its surroundings, empty."""
    yield filled_world
    filled_world.empty("photos", key_names=("bucket", "key"))


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own."""
    with temporary_server() as running:
        yield running


@pytest.fixture(scope="module")
def connected(with_postgres: LoadedHandler, server: PostgresServer) -> Iterator[Any]:
    """The handler's own database, whose connections lead to a real server without TLS and tokens."""
    with psycopg.connect(server.get_uri(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE shared")
    uri, opened = server.get_uri(database="shared"), []

    class Driver(with_postgres.postgres._Driver):  # type: ignore[name-defined,misc]
        def connect(self, login: object, token: str) -> Any:  # noqa: ANN401 - the driver's own type
            opened.append(psycopg.connect(uri, autocommit=True, cursor_factory=psycopg.ClientCursor))
            return opened[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(with_postgres.shared.database, "make_token", lambda _: "token")
        made = with_postgres.shared.database.Database(Driver(), None)
        made.opened, made.uri = opened, uri
        yield made
    for connection in opened:
        connection.close()
    with psycopg.connect(server.get_uri(), autocommit=True) as admin:
        admin.execute("DROP DATABASE shared WITH (FORCE)")


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """An empty database, as what psycopg connects to."""
    with psycopg.connect(server.get_uri(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE metadata")
        yield server.get_uri(database="metadata")
        admin.execute("DROP DATABASE metadata WITH (FORCE)")
