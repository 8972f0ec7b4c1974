"""Clients are made once: making them is what takes the time of tests with moto."""

from collections.abc import Callable, Iterator

import pytest

from tests.handlers.loading import LoadedHandler
from tests.handlers.storage.surroundings import REGION, clients_in_moto
from tests.handlers.storage.thumbnailer.world import ENVIRONMENT, World


@pytest.fixture(scope="session")
def thumbnailer(load: Callable[..., LoadedHandler]) -> LoadedHandler:
    """The modules of the thumbnailer. Its clients reach nothing unless ``world`` is there."""
    return load("storage", "thumbnailer", environment=ENVIRONMENT)


@pytest.fixture(scope="module")
def filled_world(thumbnailer: LoadedHandler) -> Iterator[World]:
    """Buckets, table and queue, made once for a file of tests."""
    with clients_in_moto(ENVIRONMENT) as (s3, dynamodb, sqs):
        for bucket in ("pictures", "thumbnails"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket="pictures", VersioningConfiguration={"Status": "Enabled"})
        dynamodb.create_table(
            TableName="metadata",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "source_key", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "source_key", "KeyType": "HASH"}],
        )
        yield World(thumbnailer, s3, dynamodb, sqs)


@pytest.fixture
def world(filled_world: World) -> Iterator[World]:
    """The thumbnailer and its surroundings, empty."""
    yield filled_world
    filled_world.empty("pictures", "thumbnails", key_names=("source_key",))
