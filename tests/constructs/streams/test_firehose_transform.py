"""FirehoseTransform: what it builds, with its own and with given resources, and what it refuses."""

from typing import Any

import pytest
from aws_cdk import App, Duration, Size, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesisfirehose as firehose
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk.assertions import Annotations, Match

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.streams.firehose_transform import FirehoseTransform, FirehoseTransformOptions
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): pass")
ON_S3 = {
    *("s3:GetBucketLocation", "s3:ListBucket", "s3:ListBucketMultipartUploads"),
    *("s3:AbortMultipartUpload", "s3:GetObject", "s3:PutObject"),
}
DELIVERING = ON_S3 | {
    *("lambda:GetFunctionConfiguration", "lambda:InvokeFunction", "logs:PutLogEvents"),
}


@stack_with
def plain(stack: Stack) -> None:
    lines = FirehoseTransform(stack, "Lines", code=CODE, handler="index.handler")
    FirehoseTransform(stack, "Others", code=CODE, handler="index.handler")
    lines.delivery_stream.grant_put_records(iam.Role(stack, "Sender", assumed_by=iam.AccountRootPrincipal()))


@stack_with
def full(stack: Stack) -> None:
    key = kms.Key(stack, "Key")
    role = iam.Role(stack, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    function = lambda_.Function(
        stack,
        "Function",
        code=CODE,
        handler="index.handler",
        runtime=lambda_.Runtime.PYTHON_3_14,
        role=role,
    )
    FirehoseTransform(
        stack,
        "Lines",
        function=function,
        bucket=s3.Bucket(stack, "Bucket", encryption_key=key),
        encryption=firehose.StreamEncryption.customer_managed_key(kms.Key(stack, "BufferKey")),
        backup_bucket=s3.Bucket.from_bucket_name(stack, "Backup", "theirs"),
        options=FirehoseTransformOptions(
            partition_keys=["site", "kind"],
            compression=firehose.Compression.UNCOMPRESSED,
            buffering_interval=Duration.seconds(60),
            batch_size=Size.mebibytes(3),
            batch_interval=Duration.seconds(0),
            retries=1,
        ),
    )


def destination(resources: Resources) -> dict[str, Any]:
    """Return the destination of the first delivery stream."""
    stream = next(iter(resources.all("AWS::KinesisFirehose::DeliveryStream").values()))
    found: dict[str, Any] = stream["ExtendedS3DestinationConfiguration"]
    return found


def test_by_default_there_are_no_partitions_and_no_backup(plain: Resources) -> None:
    given = destination(plain)
    assert given["Prefix"] == "data/!{timestamp:yyyy/MM/dd}/"
    assert given["ErrorOutputPrefix"] == "errors/!{firehose:error-output-type}/!{timestamp:yyyy/MM/dd}/"
    assert given["CompressionFormat"] == "GZIP"
    assert "DynamicPartitioningConfiguration" not in given
    assert "S3BackupMode" not in given
    stream = next(iter(plain.all("AWS::KinesisFirehose::DeliveryStream").values()))
    assert stream["DeliveryStreamEncryptionConfigurationInput"] == {"KeyType": "AWS_OWNED_CMK"}


def test_the_role_of_firehose_has_the_documented_actions_only(plain: Resources) -> None:
    role = destination(plain)["RoleARN"]["Fn::GetAtt"][0]
    assert plain.actions(role) == DELIVERING


def test_the_function_may_put_records_into_its_own_delivery_stream(plain: Resources) -> None:
    policies = plain.all("AWS::IAM::Policy")
    mine = next(policy for name, policy in policies.items() if name.startswith("LinesFunctionPolicy"))
    [statement] = mine["PolicyDocument"]["Statement"]
    [stream] = [
        name for name in plain.all("AWS::KinesisFirehose::DeliveryStream") if name.startswith("Lines")
    ]
    assert statement["Action"] == "firehose:PutRecordBatch"
    assert statement["Resource"] == {"Fn::GetAtt": [stream, "Arn"]}


def test_no_mapping_for_other_destinations_is_left_in_the_stack(plain: Resources) -> None:
    assert "Mappings" not in plain.template


def test_a_mapping_that_another_delivery_stream_needs_stays() -> None:
    stack = Stack(App(), "S")
    bucket = s3.Bucket(stack, "B")
    firehose.DeliveryStream(stack, "Theirs", destination=firehose.S3Bucket(bucket))
    FirehoseTransform(stack, "Lines", code=CODE, handler="index.handler")
    assert stack.node.try_find_child("@aws-cdk--aws-kinesisfirehose.CidrBlocks") is not None


def test_partition_keys_make_the_prefix(full: Resources) -> None:
    given = destination(full)
    assert given["DynamicPartitioningConfiguration"] == {"Enabled": True}
    kinds = "site=!{partitionKeyFromLambda:site}/kind=!{partitionKeyFromLambda:kind}"
    assert given["Prefix"] == f"data/{kinds}/!{{timestamp:yyyy/MM/dd}}/"
    assert given["BufferingHints"] == {"IntervalInSeconds": 60, "SizeInMBs": 128}
    [processor] = given["ProcessingConfiguration"]["Processors"]
    assert {one["ParameterName"]: one["ParameterValue"] for one in processor["Parameters"]} | {
        "LambdaArn": 0,
        "RoleArn": 0,
    } == {
        "LambdaArn": 0,
        "RoleArn": 0,
        "BufferIntervalInSeconds": "0",
        "BufferSizeInMBs": "3",
        "NumberOfRetries": "1",
    }


def test_the_originals_go_to_the_given_bucket(full: Resources) -> None:
    given = destination(full)
    assert given["S3BackupMode"] == "Enabled"
    assert given["S3BackupConfiguration"]["Prefix"] == "originals/!{timestamp:yyyy/MM/dd}/"
    assert "theirs" in str(given["S3BackupConfiguration"]["BucketARN"])


def test_the_role_of_firehose_may_use_the_key_of_the_bucket(full: Resources) -> None:
    role = destination(full)["RoleARN"]["Fn::GetAtt"][0]
    assert full.actions(role) == DELIVERING | {"kms:Decrypt", "kms:GenerateDataKey"}


def test_a_key_for_what_is_buffered_needs_no_further_role(full: Resources) -> None:
    stream = next(iter(full.all("AWS::KinesisFirehose::DeliveryStream").values()))
    assert stream["DeliveryStreamEncryptionConfigurationInput"]["KeyType"] == "CUSTOMER_MANAGED_CMK"
    assert sorted(name[:17] for name in full.all("AWS::IAM::Role")) == ["LinesDeliveryRole", "Role1ABCC5F0"]


def test_a_function_that_is_imported_without_its_role_is_warned_about() -> None:
    stack = Stack(App(), "S")
    function = lambda_.Function.from_function_name(stack, "F", "theirs")
    FirehoseTransform(stack, "Lines", function=function)
    Annotations.from_stack(stack).has_warning("*", Match.string_like_regexp("imported without its role"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"buffering_size": Size.mebibytes(129)}, "1 to 128 MiB"),
        ({"buffering_size": Size.mebibytes(63), "partition_keys": ["a"]}, "64 to 128 MiB"),
        ({"buffering_interval": Duration.seconds(59), "partition_keys": ["a"]}, "60 to 900 seconds"),
        ({"buffering_interval": Duration.seconds(901)}, "0 to 900 seconds"),
        ({"batch_size": Size.mebibytes(4)}, "1 to 3 MiB"),
        ({"batch_interval": Duration.hours(1)}, "0 to 900 seconds"),
        ({"retries": 0}, "1 to 300"),
        ({"partition_keys": ["a-b"]}, "letters, digits and underscores"),
        ({"partition_keys": ["a", "a"]}, "different names"),
        ({"partition_keys": ["a"], "data_prefix": "x/"}, r"it lacks !\{partitionKeyFromLambda:a\}"),
        ({"error_prefix": "errors/!{timestamp:yyyy}/"}, r"it lacks !\{firehose:error-output-type\}"),
        ({"data_prefix": "x" * 1025}, "1,024 characters"),
        ({"data_prefix": "!{partitionKeyFromLambda:a}/"}, r"partitionKeyFromLambda:a\} has no value"),
        (
            {
                "partition_keys": ["a"],
                "data_prefix": "!{partitionKeyFromLambda:a}/!{partitionKeyFromLambda:b}/",
            },
            r"partitionKeyFromLambda:b\} has no value",
        ),
        ({"data_prefix": "!{partitionKeyFromQuery:a}/"}, "has no value here"),
        ({"data_prefix": "!{timestamp:bbbb}/"}, r"timestamp:bbbb\} has no value"),
        ({"data_prefix": "!{timestamp:}/"}, "has no value here"),
        ({"data_prefix": "!{timestamp:'year}/"}, "has no value here"),
        ({"data_prefix": "!{timestamp:yyyy"}, "has no value here"),
        ({"data_prefix": "!{firehose:error-output-type}/"}, "has no value here"),
        ({"error_prefix": "!{firehose:error-output-type}/!{timestamp:J}/"}, "has no value here"),
    ],
)
def test_what_firehose_refuses_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FirehoseTransformOptions(**options)


@pytest.mark.parametrize("prefix", ["plain/", "!{timestamp:'day='dd-HH}/!{firehose:random-string}/", ""])
def test_a_prefix_of_your_own_may_have_expressions_of_firehose(prefix: str) -> None:
    assert FirehoseTransformOptions(data_prefix=prefix).prefix == prefix


def test_a_function_that_may_be_in_another_account_is_refused_by_its_argument() -> None:
    stack = Stack(App(), "S")
    arn = "arn:aws:lambda:us-east-1:111111111111:function:theirs"
    theirs = lambda_.Function.from_function_arn(stack, "F", arn)
    with pytest.raises(ValueError, match=r"function=S/F: .*same_environment=True"):
        FirehoseTransform(stack, "Lines", function=theirs)


def test_a_function_that_takes_too_long_is_refused() -> None:
    stack = Stack(App(), "S")
    with pytest.raises(ValueError, match="1 to 300 seconds"):
        FirehoseTransform(
            stack,
            "Lines",
            code=CODE,
            handler="index.handler",
            function_options=FunctionOptions(timeout=Duration.minutes(6)),
        )
