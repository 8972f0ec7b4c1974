"""Buckets have the properties of their template, and events of removed objects are those of S3."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Queue
from helpers.stacks import DeploymentFailedError, Stack, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

LIFECYCLE = {
    "Rules": [
        {
            "Id": "drafts",
            "Status": "Enabled",
            "Prefix": "drafts/",
            "ExpirationInDays": 30,
            "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 2},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3},
        },
        {
            "Id": "archive",
            "Status": "Disabled",
            "Prefix": "old/",
            "TagFilters": [{"Key": "keep", "Value": "yes"}],
            "Transitions": [{"StorageClass": "GLACIER", "TransitionInDays": 90}],
            "NoncurrentVersionTransitions": [{"StorageClass": "STANDARD_IA", "TransitionInDays": 40}],
        },
    ]
}
PROPERTIES = {
    "Tags": [{"Key": "team", "Value": "photos"}],
    "VersioningConfiguration": {"Status": "Enabled"},
    "BucketEncryption": {
        "ServerSideEncryptionConfiguration": [
            {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "aws:kms"}, "BucketKeyEnabled": True}
        ]
    },
    "OwnershipControls": {"Rules": [{"ObjectOwnership": "ObjectWriter"}]},
    "PublicAccessBlockConfiguration": {"BlockPublicAcls": True, "BlockPublicPolicy": False},
    "LoggingConfiguration": {"DestinationBucketName": ref("Logs"), "LogFilePrefix": "access/"},
    "LifecycleConfiguration": LIFECYCLE,
}
LOGS = {"Type": "AWS::S3::Bucket"}


def bucket(**properties: Any) -> dict[str, Any]:
    return {"Type": "AWS::S3::Bucket", "Properties": properties}


def deploy_bucket(aws: LocalAws, **properties: Any) -> Stack:
    return deploy(aws, {"Logs": LOGS, "Bucket": bucket(**properties)}, {"Name": ref("Bucket")})


def configuration(aws: LocalAws, name: str, what: str) -> Any:
    """The result of S3's `get_bucket_WHAT`, or its error code."""
    try:
        answer = getattr(aws.client("s3"), f"get_{what}")(Bucket=name)
    except ClientError as error:
        return error.response["Error"]["Code"]
    answer.pop("ResponseMetadata")
    return answer


def tags(aws: LocalAws, name: str) -> dict[str, str]:
    answer = configuration(aws, name, "bucket_tagging")
    return {entry["Key"]: entry["Value"] for entry in answer["TagSet"]}


@pytest.fixture(scope="module")
def full(local_aws: LocalAws) -> Stack:
    """A bucket with every property that the bridge adds."""
    return deploy_bucket(local_aws, **PROPERTIES)


def test_tags_of_the_bucket_and_of_the_stack_are_on_the_bucket(local_aws: LocalAws, full: Stack) -> None:
    found = tags(local_aws, full.outputs["Name"])
    assert found["team"] == "photos"
    assert found["aws:cloudformation:stack-name"] == full.name
    assert found["aws:cloudformation:logical-id"] == "Bucket"


def test_default_encryption_is_the_templates(local_aws: LocalAws, full: Stack) -> None:
    (rule,) = configuration(local_aws, full.outputs["Name"], "bucket_encryption")[
        "ServerSideEncryptionConfiguration"
    ]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "aws:kms"}
    assert rule["BucketKeyEnabled"] is True


def test_an_upload_that_asks_for_kms_without_a_key_takes_the_accounts(
    local_aws: LocalAws, full: Stack
) -> None:
    name = full.outputs["Name"]
    put = local_aws.client("s3").put_object(Bucket=name, Key="k", Body=b"", ServerSideEncryption="aws:kms")
    assert put["ServerSideEncryption"] == "aws:kms"
    assert put["SSEKMSKeyId"] == f"arn:aws:kms:us-east-1:{local_aws.account}:alias/aws/s3"


def test_ownership_logging_versioning_and_public_access_are_the_templates(
    local_aws: LocalAws, full: Stack
) -> None:
    name = full.outputs["Name"]
    ownership = configuration(local_aws, name, "bucket_ownership_controls")
    assert ownership["OwnershipControls"] == PROPERTIES["OwnershipControls"]
    logging = configuration(local_aws, name, "bucket_logging")["LoggingEnabled"]
    assert logging["TargetPrefix"] == "access/"
    assert logging["TargetBucket"].startswith(full.name)
    assert configuration(local_aws, name, "bucket_versioning") == {"Status": "Enabled"}
    block = configuration(local_aws, name, "public_access_block")["PublicAccessBlockConfiguration"]
    assert (block["BlockPublicAcls"], block["BlockPublicPolicy"]) == (True, False)


def test_lifecycle_rules_are_the_templates_in_the_apis_words(local_aws: LocalAws, full: Stack) -> None:
    answer = configuration(local_aws, full.outputs["Name"], "bucket_lifecycle_configuration")
    drafts, archive = answer["Rules"]
    assert drafts == {
        "ID": "drafts",
        "Status": "Enabled",
        "Filter": {"Prefix": "drafts/"},
        "Expiration": {"Days": 30},
        "NoncurrentVersionExpiration": {"NoncurrentDays": 7, "NewerNoncurrentVersions": 2},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 3},
    }
    assert archive["Status"] == "Disabled"
    assert archive["Filter"]["And"]["Prefix"] == "old/"
    assert archive["Filter"]["And"]["Tags"] == [{"Key": "keep", "Value": "yes"}]
    assert archive["Transitions"] == [{"Days": 90, "StorageClass": "GLACIER"}]
    assert archive["NoncurrentVersionTransitions"] == [{"NoncurrentDays": 40, "StorageClass": "STANDARD_IA"}]


def test_nothing_of_a_fully_described_bucket_is_reported_as_dropped(local_aws: LocalAws, full: Stack) -> None:
    assert [dropped for dropped in local_aws.dropped_properties() if dropped.stack == full.name] == []


def test_properties_removed_from_the_template_are_removed(local_aws: LocalAws) -> None:
    stack = deploy_bucket(local_aws, **PROPERTIES)
    name = stack.outputs["Name"]
    other = bucket(Tags=[{"Key": "team", "Value": "archive"}])
    stack.update({"Logs": LOGS, "Bucket": other}, {"Name": ref("Bucket")})
    assert stack.outputs["Name"] == name
    assert tags(local_aws, name)["team"] == "archive"
    assert configuration(local_aws, name, "bucket_versioning") == {"Status": "Suspended"}
    assert configuration(local_aws, name, "bucket_logging") == {}
    missing = configuration(local_aws, name, "bucket_lifecycle_configuration")
    assert missing == "NoSuchLifecycleConfiguration"
    assert configuration(local_aws, name, "bucket_ownership_controls") == "OwnershipControlsNotFoundError"
    default = configuration(local_aws, name, "bucket_encryption")["ServerSideEncryptionConfiguration"]
    assert default["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}


def test_a_property_that_s3_refuses_fails_the_deployment(local_aws: LocalAws) -> None:
    wrong = {
        "ServerSideEncryptionConfiguration": [{"ServerSideEncryptionByDefault": {"SSEAlgorithm": "ROT13"}}]
    }
    with pytest.raises(DeploymentFailedError, match="BucketEncryption"):
        deploy_bucket(local_aws, BucketEncryption=wrong)


@pytest.mark.parametrize("only_a_delete_marker_is_left", [False, True])
def test_a_bucket_that_is_not_empty_is_not_deleted_with_its_stack(
    local_aws: LocalAws, only_a_delete_marker_is_left: bool
) -> None:
    stack = deploy_bucket(local_aws, VersioningConfiguration={"Status": "Enabled"})
    s3, name = local_aws.client("s3"), stack.outputs["Name"]
    version = s3.put_object(Bucket=name, Key="photo", Body=b"x")["VersionId"]
    if only_a_delete_marker_is_left:
        s3.delete_object(Bucket=name, Key="photo")
        s3.delete_object(Bucket=name, Key="photo", VersionId=version)
    with pytest.raises(DeploymentFailedError, match="BucketNotEmpty"):
        stack.delete()
    s3.head_bucket(Bucket=name)


def test_an_empty_bucket_is_deleted_with_its_stack(local_aws: LocalAws) -> None:
    stack = deploy_bucket(local_aws)
    stack.delete()
    assert configuration(local_aws, stack.outputs["Name"], "bucket_versioning") == "NoSuchBucket"


# --- Events


def observed_bucket(functions: Functions, *, versioned: bool) -> tuple[str, Queue]:
    """A bucket that sends all its events to a queue."""
    s3, queue, name = functions.aws.client("s3"), functions.queue(), f"bucket-{uuid.uuid4().hex[:8]}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue.arn,
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    functions.aws.client("sqs").set_queue_attributes(QueueUrl=queue.url, Attributes={"Policy": document})
    s3.create_bucket(Bucket=name)
    if versioned:
        s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    configuration = {"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"]}
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"QueueConfigurations": [configuration]}
    )
    assert queue.wait_for_body()["Event"] == "s3:TestEvent"
    return name, queue


def next_record(queue: Queue) -> dict[str, Any]:
    (record,) = queue.wait_for_body()["Records"]
    return dict(record)


def test_events_of_one_key_carry_versions_rising_sequencers_and_the_encoded_key(functions: Functions) -> None:
    name, queue = observed_bucket(functions, versioned=True)
    s3, key = functions.aws.client("s3"), "a b+c/ü.jpg"
    first = s3.put_object(Bucket=name, Key=key, Body=b"one")
    created = next_record(queue)
    second = s3.put_object(Bucket=name, Key=key, Body=b"three")
    replaced = next_record(queue)
    marker = s3.delete_object(Bucket=name, Key=key)
    removed = next_record(queue)
    s3.delete_object(Bucket=name, Key=key, VersionId=first["VersionId"])
    purged = next_record(queue)

    records = [created, replaced, removed, purged]
    assert [record["eventName"] for record in records] == [
        "ObjectCreated:Put",
        "ObjectCreated:Put",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRemoved:Delete",
    ]
    objects = [record["s3"]["object"] for record in records]
    assert {entry["key"] for entry in objects} == {"a+b%2Bc/%C3%BC.jpg"}
    answers = [first, second, marker, first]
    assert [entry["versionId"] for entry in objects] == [answer["VersionId"] for answer in answers]
    # Compared as S3 says: as strings, the shorter one padded with zeros on the right.
    sequencers = [entry["sequencer"] for entry in objects]
    width = max(map(len, sequencers))
    padded = [sequencer.ljust(width, "0") for sequencer in sequencers]
    assert padded == sorted(set(padded))
    assert objects[1]["size"] == 5
    assert objects[1]["eTag"] == second["ETag"].strip('"')


@pytest.mark.parametrize("versioned", [False, True])
def test_the_event_of_a_removed_object_has_neither_size_nor_etag(
    functions: Functions, versioned: bool
) -> None:
    name, queue = observed_bucket(functions, versioned=versioned)
    s3 = functions.aws.client("s3")
    s3.put_object(Bucket=name, Key="photo", Body=b"x")
    next_record(queue)
    s3.delete_object(Bucket=name, Key="photo")
    expected = {"key", "sequencer", "versionId"} if versioned else {"key", "sequencer"}
    assert set(next_record(queue)["s3"]["object"]) == expected


# --- Still needed


def test_the_emulator_still_drops_properties_of_buckets(stock_aws: LocalAws) -> None:
    name = deploy_bucket(stock_aws, **PROPERTIES).outputs["Name"]
    assert configuration(stock_aws, name, "bucket_tagging") == "NoSuchTagSet"
    assert configuration(stock_aws, name, "bucket_logging") == {}
    missing = configuration(stock_aws, name, "bucket_lifecycle_configuration")
    assert missing == "NoSuchLifecycleConfiguration"
    default = configuration(stock_aws, name, "bucket_encryption")["ServerSideEncryptionConfiguration"]
    assert default["Rules"][0]["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
    ownership = configuration(stock_aws, name, "bucket_ownership_controls")["OwnershipControls"]
    assert ownership != PROPERTIES["OwnershipControls"]


def test_the_emulator_still_never_suspends_versioning(stock_aws: LocalAws) -> None:
    stack = deploy_bucket(stock_aws, VersioningConfiguration={"Status": "Enabled"})
    stack.update({"Logs": LOGS, "Bucket": bucket()}, {"Name": ref("Bucket")})
    assert configuration(stock_aws, stack.outputs["Name"], "bucket_versioning") == {"Status": "Enabled"}


def test_the_emulator_still_deletes_buckets_that_hold_something(stock_aws: LocalAws) -> None:
    stack = deploy_bucket(stock_aws)
    stock_aws.client("s3").put_object(Bucket=stack.outputs["Name"], Key="photo", Body=b"x")
    stack.delete()


def test_the_emulator_still_refuses_kms_without_a_key(stock_aws: LocalAws) -> None:
    name = deploy_bucket(stock_aws).outputs["Name"]
    with pytest.raises(ClientError, match="InvalidArgument"):
        stock_aws.client("s3").put_object(Bucket=name, Key="k", Body=b"", ServerSideEncryption="aws:kms")


def test_the_emulator_still_gives_removed_objects_a_size(stock_functions: Functions) -> None:
    name, queue = observed_bucket(stock_functions, versioned=False)
    s3 = stock_functions.aws.client("s3")
    s3.put_object(Bucket=name, Key="photo", Body=b"x")
    next_record(queue)
    s3.delete_object(Bucket=name, Key="photo")
    assert next_record(queue)["s3"]["object"]["size"] == 0
