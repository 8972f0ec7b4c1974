"""A missing key is reported only to callers that may list the bucket."""

from __future__ import annotations

import uuid

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

READ = "s3:GetObject"
LIST = "s3:ListBucket"


@pytest.fixture
def bucket(local_aws: LocalAws) -> str:
    """A versioned bucket with `here` in it, and `deleted` under a delete marker."""
    return make_bucket(local_aws)


def make_bucket(aws: LocalAws) -> str:
    s3, name = aws.client("s3"), f"photos-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    for key in ("here", "deleted"):
        s3.put_object(Bucket=name, Key=key, Body=b"x")
    s3.delete_object(Bucket=name, Key="deleted")
    return name


def status(aws: LocalAws, bucket: str, operation: str, key: str, *actions: str) -> int:
    """The response to a user who may perform these actions on the bucket and its objects."""
    resources = {READ: f"arn:aws:s3:::{bucket}/*", LIST: f"arn:aws:s3:::{bucket}"}
    client = session_of(aws, *((action, resources[action]) for action in actions)).client("s3")
    try:
        answer = getattr(client, operation)(Bucket=bucket, Key=key)
    except ClientError as error:
        answer = error.response
    found: int = answer["ResponseMetadata"]["HTTPStatusCode"]
    return found


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
@pytest.mark.parametrize("key", ["never", "deleted"])
def test_a_missing_key_is_404_for_callers_that_may_list_and_403_for_others(
    local_aws: LocalAws, bucket: str, operation: str, key: str
) -> None:
    assert status(local_aws, bucket, operation, key, READ, LIST) == 404
    assert status(local_aws, bucket, operation, key, READ) == 403


def test_the_refusal_names_the_permission_that_is_missing(local_aws: LocalAws, bucket: str) -> None:
    client = session_of(local_aws, (READ, f"arn:aws:s3:::{bucket}/*")).client("s3")
    with pytest.raises(ClientError, match=LIST):
        client.get_object(Bucket=bucket, Key="never")


def test_an_existing_object_needs_no_permission_to_list(local_aws: LocalAws, bucket: str) -> None:
    assert status(local_aws, bucket, "get_object", "here", READ) == 200


def test_a_bucket_that_does_not_exist_is_404(local_aws: LocalAws) -> None:
    assert status(local_aws, "no-such-bucket", "get_object", "never", READ) == 404


def test_still_needed_the_emulator_answers_404_to_everybody(stock_aws: LocalAws) -> None:
    assert status(stock_aws, make_bucket(stock_aws), "get_object", "never", READ) == 404
