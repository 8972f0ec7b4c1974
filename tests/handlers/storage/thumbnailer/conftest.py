"""The handler and its clients, made once: that takes most of the time of tests with moto."""

from collections.abc import Iterator
from types import ModuleType

import pytest

from tests.handlers.importing import import_handler
from tests.handlers.storage.surroundings import REGION, clients_in_moto
from tests.handlers.storage.thumbnailer.world import ENVIRONMENT, World
from tests.handlers.tables import make_table


@pytest.fixture(scope="session")
def function() -> ModuleType:
    """The handler's module. Its clients reach nothing unless ``world`` is there."""
    return import_handler("storage.thumbnailer.handler", ENVIRONMENT)


@pytest.fixture(scope="module")
def shared_world(function: ModuleType) -> Iterator[World]:
    """Buckets, table and queue, made once for a file of tests."""
    with clients_in_moto(ENVIRONMENT) as (s3, dynamodb, sqs):
        for bucket in ("pictures", "thumbnails"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket="pictures", VersioningConfiguration={"Status": "Enabled"})
        make_table(dynamodb, "metadata", "source_key")
        yield World(function, s3, dynamodb, sqs)


@pytest.fixture
def world(shared_world: World) -> Iterator[World]:
    """The function with empty buckets, table and queue."""
    yield shared_world
    shared_world.empty("pictures", "thumbnails", key_names=("source_key",))
