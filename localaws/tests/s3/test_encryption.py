"""Objects whose key is disabled or about to be deleted are refused."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws

pytestmark = pytest.mark.local

STATES: dict[str, tuple[Callable[[Any, str], object], str, str]] = {
    "disabled": (lambda kms, key: kms.disable_key(KeyId=key), "KMS.DisabledException", "is disabled"),
    "pending deletion": (
        lambda kms, key: kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7),
        "KMS.KMSInvalidStateException",
        "is pending deletion",
    ),
}


def encrypted_object(aws: LocalAws) -> tuple[dict[str, str], str]:
    """A bucket with an object that is encrypted with a key of its own."""
    s3, key = aws.client("s3"), aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    where = {"Bucket": f"bucket-{uuid.uuid4().hex[:8]}", "Key": "photo"}
    s3.create_bucket(Bucket=where["Bucket"])
    s3.put_object(**where, Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    return where, key


@pytest.mark.parametrize("state", STATES)
def test_an_object_whose_key_is_not_enabled_is_neither_read_nor_written(
    local_aws: LocalAws, state: str
) -> None:
    where, key = encrypted_object(local_aws)
    s3, kms = local_aws.client("s3"), local_aws.client("kms")
    assert s3.get_object(**where)["Body"].read() == b"x"
    change, code, message = STATES[state]
    change(kms, key)
    with pytest.raises(ClientError, match=message) as read:
        s3.get_object(**where)
    with pytest.raises(ClientError, match=message) as written:
        s3.put_object(**where, Body=b"y", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
    for caught in (read, written):
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert s3.head_object(**where)["SSEKMSKeyId"] == key
    s3.put_object(**where | {"Key": "other"}, Body=b"y")


def test_a_key_that_is_enabled_again_can_be_used(local_aws: LocalAws) -> None:
    where, key = encrypted_object(local_aws)
    local_aws.client("kms").disable_key(KeyId=key)
    local_aws.client("kms").enable_key(KeyId=key)
    assert local_aws.client("s3").get_object(**where)["Body"].read() == b"x"


# --- Still needed


def test_the_emulator_still_reads_objects_whose_key_is_disabled(stock_aws: LocalAws) -> None:
    where, key = encrypted_object(stock_aws)
    stock_aws.client("kms").disable_key(KeyId=key)
    assert stock_aws.client("s3").get_object(**where)["Body"].read() == b"x"
