"""Delivery streams and records that Firehose refuses."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions
from helpers.stacks import DeploymentFailedError, deploy

pytestmark = pytest.mark.local

FIREHOSE = "firehose.amazonaws.com"
DYNAMIC = {
    "DynamicPartitioningConfiguration": {"Enabled": True},
    "Prefix": "!{partitionKeyFromLambda:a}/",
    "ErrorOutputPrefix": "bad/",
    "ProcessingConfiguration": {
        "Enabled": True,
        "Processors": [
            {"Type": "Lambda", "Parameters": [{"ParameterName": "LambdaArn", "ParameterValue": "arn:aws:x"}]}
        ],
    },
}


@pytest.fixture(scope="module")
def role(local_aws: Any) -> str:
    """A role that Firehose may assume."""
    return Functions(local_aws).role(service=FIREHOSE)


def refused(functions: Functions, role: str, **settings: Any) -> str:
    """The error of CreateDeliveryStream."""
    destination = {"RoleARN": role, "BucketARN": "arn:aws:s3:::bucket", **settings}
    with pytest.raises(ClientError) as caught:
        functions.aws.client("firehose").create_delivery_stream(
            DeliveryStreamName="hose", ExtendedS3DestinationConfiguration=destination
        )
    return str(caught.value)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"BufferingHints": {"SizeInMBs": 129}}, "less than or equal to 128"),
        ({"CompressionFormat": "SNAPPY"}, "enum value set: [UNCOMPRESSED"),
        ({"Prefix": "!{timestamp:yyyy}/"}, "ErrorOutputPrefix cannot be null"),
        (
            {"ErrorOutputPrefix": "!{timestamp:yyyy}/"},
            "at least one instance of !{firehose:error-output-type}",
        ),
        ({"Prefix": "!{firehose:error-output-type}/", "ErrorOutputPrefix": "x"}, "Prefix cannot contain"),
        ({"Prefix": "!{time:yyyy}/", "ErrorOutputPrefix": "x"}, "only expressions of the form"),
        ({**DYNAMIC, "DynamicPartitioningConfiguration": {}}, "when Dynamic Partitioning is enabled."),
        ({**DYNAMIC, "ErrorOutputPrefix": ""}, "ErrorOutputPrefix cannot be null"),
        ({**DYNAMIC, "Prefix": "data/"}, "S3 Prefix should contain Dynamic Partitioning namespaces"),
        ({**DYNAMIC, "Prefix": "!{partitionKeyFromQuery:a}/"}, "MetadataExtraction is needed"),
        ({**DYNAMIC, "BufferingHints": {"SizeInMBs": 63}}, "must be at least 64 when Dynamic Partitioning"),
        ({**DYNAMIC, "BufferingHints": {"IntervalInSeconds": 59}}, "IntervalInSeconds must be at least 60"),
        ({"S3BackupMode": "Enabled"}, "S3BackupConfiguration must be specified"),
        ({"RoleARN": "arn:aws:iam::000000000000:role/none"}, "Firehose is unable to assume role arn:aws:iam"),
    ],
)
def test_a_delivery_stream_is_refused(
    functions: Functions, role: str, settings: dict[str, Any], text: str
) -> None:
    assert text in refused(functions, role, **settings)


def test_a_template_is_refused_as_the_request_is(functions: Functions, role: str) -> None:
    settings = {"RoleARN": role, "BucketARN": "arn:aws:s3:::b", "Prefix": "!{timestamp:yyyy}/"}
    properties = {"ExtendedS3DestinationConfiguration": settings}
    with pytest.raises(DeploymentFailedError, match="ErrorOutputPrefix cannot be null"):
        deploy(
            functions.aws,
            {"Hose": {"Type": "AWS::KinesisFirehose::DeliveryStream", "Properties": properties}},
        )


def test_a_stream_without_a_destination_is_refused(functions: Functions) -> None:
    with pytest.raises(ClientError, match="Exactly one destination configuration"):
        functions.aws.client("firehose").create_delivery_stream(DeliveryStreamName="hose")


def test_a_batch_of_more_than_four_megabytes_is_refused_and_a_record_of_more_than_a_thousand_kilobytes(
    functions: Functions, role: str
) -> None:
    client, name = functions.aws.client("firehose"), f"hose-{uuid.uuid4().hex[:8]}"
    client.create_delivery_stream(
        DeliveryStreamName=name,
        ExtendedS3DestinationConfiguration={"RoleARN": role, "BucketARN": "arn:aws:s3:::bucket"},
    )
    with pytest.raises(ClientError, match="4 MB limit"):
        client.put_record_batch(DeliveryStreamName=name, Records=[{"Data": b"x" * 1_000_000}] * 5)
    with pytest.raises(ClientError, match="length less than or equal to 1024000"):
        client.put_record_batch(DeliveryStreamName=name, Records=[{"Data": b"x" * 1_024_001}])
    with pytest.raises(ClientError, match="only be enabled when the Firehose stream is created"):
        client.update_destination(
            DeliveryStreamName=name,
            CurrentDeliveryStreamVersionId="1",
            DestinationId="destinationId-000000000001",
            ExtendedS3DestinationUpdate=DYNAMIC,
        )
