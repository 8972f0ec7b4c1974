"""Clients are made once: making them is what takes the time of tests with moto."""

from collections.abc import Callable, Iterator

import botocore.session
import pytest
from moto import mock_aws

from tests.handlers.loading import LoadedHandler
from tests.handlers.storage.thumbnailer.world import ENVIRONMENT, QUEUE_URL, REGION, Client, World


@pytest.fixture(scope="session")
def thumbnailer(load: Callable[..., LoadedHandler]) -> LoadedHandler:
    """The modules of the thumbnailer. Its clients reach nothing unless ``world`` is there."""
    return load("storage", "thumbnailer", environment=ENVIRONMENT)


@pytest.fixture(scope="module")
def filled_world(thumbnailer: LoadedHandler) -> Iterator[World]:
    """Buckets, table and queue, made once for a file of tests."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        session = botocore.session.get_session()
        clients: list[Client] = [session.create_client(name) for name in ("s3", "dynamodb", "sqs")]
        s3, dynamodb, sqs = clients
        for bucket in ("pictures", "thumbnails"):
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        s3.put_bucket_versioning(Bucket="pictures", VersioningConfiguration={"Status": "Enabled"})
        dynamodb.create_table(
            TableName="metadata",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": "source_key", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "source_key", "KeyType": "HASH"}],
        )
        assert sqs.create_queue(QueueName="failures")["QueueUrl"] == QUEUE_URL
        yield World(thumbnailer, s3, dynamodb, sqs)


@pytest.fixture
def world(filled_world: World) -> Iterator[World]:
    """The thumbnailer and its surroundings, empty."""
    yield filled_world
    filled_world.empty()
