"""Values of the embedded AWS have the length, the alphabet and the shape of AWS's.

A value that is shorter or simpler hides faults: 56 digits fit into no DynamoDB Number. Sources of the shapes:
https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html (sequence number and shard id)
https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html (message id, receipt handle, FIFO sequence number)
https://docs.aws.amazon.com/AmazonS3/latest/userguide/RetMetaData.html and versioning-workflows.html (version)
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html (access keys and ids)
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from localaws import LocalAws

pytestmark = pytest.mark.local

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
NAME = f"n-{uuid.uuid4().hex[:8]}"


def put_record(aws: LocalAws) -> dict[str, Any]:
    client, name = aws.client("kinesis"), f"s-{uuid.uuid4().hex[:8]}"
    client.create_stream(StreamName=name, ShardCount=1)
    client.get_waiter("stream_exists").wait(StreamName=name, WaiterConfig={"Delay": 1})
    answer: dict[str, Any] = client.put_record(StreamName=name, Data=b"x", PartitionKey="x")
    return answer


def received(aws: LocalAws, *, fifo: bool) -> dict[str, Any]:
    client, name = aws.client("sqs"), f"q-{uuid.uuid4().hex[:8]}" + (".fifo" if fifo else "")
    url = client.create_queue(QueueName=name, Attributes={"FifoQueue": "true"} if fifo else {})["QueueUrl"]
    group = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if fifo else {}
    client.send_message(QueueUrl=url, MessageBody="x", **group)
    answer: dict[str, Any] = client.receive_message(QueueUrl=url, AttributeNames=["All"])["Messages"][0]
    return answer


def put_object(aws: LocalAws, *, parts: bool = False) -> dict[str, Any]:
    client, name = aws.client("s3"), f"b-{uuid.uuid4().hex[:8]}"
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    if not parts:
        answer: dict[str, Any] = client.put_object(Bucket=name, Key="x", Body=b"x")
        return answer
    upload = client.create_multipart_upload(Bucket=name, Key="x")
    of = {"Bucket": name, "Key": "x", "UploadId": upload["UploadId"]}
    part = {"PartNumber": 1, "ETag": client.upload_part(**of, PartNumber=1, Body=b"x")["ETag"]}
    done = client.complete_multipart_upload(**of, MultipartUpload={"Parts": [part]})
    return {**done, "UploadId": upload["UploadId"]}


def header(answer: dict[str, Any], name: str) -> str:
    return str(answer["ResponseMetadata"]["HTTPHeaders"][name])


SHAPES: dict[str, tuple[Callable[[LocalAws], str], str]] = {
    "Kinesis sequence number": (lambda aws: put_record(aws)["SequenceNumber"], r"49\d{54}"),
    "Kinesis shard id": (lambda aws: put_record(aws)["ShardId"], r"shardId-\d{12}"),
    "SQS message id": (lambda aws: received(aws, fifo=False)["MessageId"], UUID),
    "SQS receipt handle": (
        lambda aws: received(aws, fifo=False)["ReceiptHandle"],
        r"AQEB[A-Za-z0-9+/]{300,}={0,2}",
    ),
    "SQS FIFO sequence number": (
        lambda aws: received(aws, fifo=True)["Attributes"]["SequenceNumber"],
        r"[1-9]\d{19}",
    ),
    "S3 version id": (lambda aws: put_object(aws)["VersionId"], r"[A-Za-z0-9._]{32}"),
    "S3 ETag of parts": (lambda aws: put_object(aws, parts=True)["ETag"], r'"[0-9a-f]{32}-1"'),
    "S3 upload id": (lambda aws: put_object(aws, parts=True)["UploadId"], r"[A-Za-z0-9._]{100,}"),
    "S3 request id": (lambda aws: header(put_object(aws), "x-amz-request-id"), r"[A-Z0-9]{16}"),
    "S3 host id": (lambda aws: header(put_object(aws), "x-amz-id-2"), r"[A-Za-z0-9+/]{64,}={0,2}"),
    "SNS message id": (
        lambda aws: aws.client("sns").publish(
            TopicArn=aws.client("sns").create_topic(Name=NAME)["TopicArn"], Message="x"
        )["MessageId"],
        UUID,
    ),
    "secret ARN": (
        lambda aws: aws.client("secretsmanager").create_secret(Name=NAME, SecretString="x")["ARN"],
        rf"arn:aws:secretsmanager:[a-z0-9-]+:\d{{12}}:secret:{NAME}-[A-Za-z0-9]{{6}}",
    ),
    "user id": (
        lambda aws: aws.client("iam").create_user(UserName=NAME)["User"]["UserId"],
        r"AIDA[A-Z0-9]{17}",
    ),
    "session token": (
        lambda aws: aws.client("sts").get_session_token()["Credentials"]["SessionToken"],
        r"IQoJ[A-Za-z0-9+/]{350,}={0,2}",
    ),
    "temporary access key": (
        lambda aws: aws.client("sts").get_session_token()["Credentials"]["AccessKeyId"],
        r"ASIA[A-Z0-9]{16}",
    ),
    "secret access key": (
        lambda aws: aws.client("sts").get_session_token()["Credentials"]["SecretAccessKey"],
        r"[A-Za-z0-9+/]{40}",
    ),
    "VPC id": (
        lambda aws: aws.client("ec2").create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"],
        r"vpc-[0-9a-f]{17}",
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_value_has_awss_shape(local_aws: LocalAws, name: str) -> None:
    make, pattern = SHAPES[name]
    value = make(local_aws)
    assert re.fullmatch(pattern, value), value
