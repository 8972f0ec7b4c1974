"""Listings of S3 have the status of restores, and the same times as HEAD."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from helpers.lambda_functions import eventually
from localaws import LocalAws

pytestmark = pytest.mark.local

KEY = "a b+c/ü & é.jpg"


def archived(aws: LocalAws) -> tuple[Any, str]:
    """S3, and a bucket with an archived object and another one."""
    s3, name = aws.client("s3"), f"bucket-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key=KEY, Body=b"x", StorageClass="GLACIER")
    s3.put_object(Bucket=name, Key="other", Body=b"x")
    return s3, name


def listed(s3: Any, bucket: str) -> dict[str, dict[str, Any]]:
    """The restore status of each key in a listing."""
    answer = s3.list_objects_v2(Bucket=bucket, OptionalObjectAttributes=["RestoreStatus"])
    return {each["Key"]: each for each in answer["Contents"]}


def test_a_listing_returns_restore_status_on_request(local_aws: LocalAws) -> None:
    s3, bucket = archived(local_aws)
    assert "RestoreStatus" not in listed(s3, bucket)[KEY]
    s3.restore_object(Bucket=bucket, Key=KEY, RestoreRequest={"Days": 1})
    assert listed(s3, bucket)[KEY]["RestoreStatus"] == {"IsRestoreInProgress": True}
    assert "RestoreStatus" not in s3.list_objects_v2(Bucket=bucket)["Contents"][0]
    eventually(lambda: "RestoreExpiryDate" in listed(s3, bucket)[KEY]["RestoreStatus"])
    status = listed(s3, bucket)[KEY]["RestoreStatus"]
    head = s3.head_object(Bucket=bucket, Key=KEY)["Restore"]
    assert not status["IsRestoreInProgress"]
    assert f"{status['RestoreExpiryDate']:%a, %d %b %Y %H:%M:%S} GMT" in head
    assert "RestoreStatus" not in listed(s3, bucket)["other"]


@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2"])
def test_a_listing_and_head_give_the_same_time(local_aws: LocalAws, operation: str) -> None:
    s3, bucket = archived(local_aws)
    for each in getattr(s3, operation)(Bucket=bucket)["Contents"]:
        assert each["LastModified"] == s3.head_object(Bucket=bucket, Key=each["Key"])["LastModified"]


def test_still_needed_the_stock_emulator_lists_no_restores(stock_aws: LocalAws) -> None:
    s3, bucket = archived(stock_aws)
    s3.restore_object(Bucket=bucket, Key=KEY, RestoreRequest={"Days": 1})
    assert "RestoreStatus" not in listed(s3, bucket)[KEY]


def test_still_needed_the_stock_emulator_lists_fractions_of_seconds(stock_aws: LocalAws) -> None:
    s3, bucket = archived(stock_aws)
    for number in range(3):  # one may come at a whole second
        s3.put_object(Bucket=bucket, Key=f"{number}", Body=b"x")
    assert any(each["LastModified"].microsecond for each in s3.list_objects_v2(Bucket=bucket)["Contents"])


def test_versions_with_any_key_are_listed_page_by_page(local_aws: LocalAws) -> None:
    s3, bucket = local_aws.client("s3"), f"bucket-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    keys = ["a\0b", "a\x01b", "a\nb", "a\r\nb", "a+b %2B", "u\u0308/ü", "<&>"]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key)
    pages = s3.get_paginator("list_object_versions").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    assert [one["Key"] for page in pages for one in page["Versions"]] == sorted(keys, key=str.encode)
