"""Delivery streams: buffers, transformation, partitions, error output, backup, and permissions."""

from __future__ import annotations

import base64
import gzip
import json
import re
import uuid
import zipfile
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pytest

from helpers.lambda_functions import Functions, eventually
from helpers.stacks import DeploymentFailedError, arn, deploy, ref
from localaws import LocalAws
from localaws.services.firehose.objects import compressed

pytestmark = pytest.mark.local

FIREHOSE = "firehose.amazonaws.com"
ON_S3 = ("AbortMultipartUpload", "GetBucketLocation", "GetObject", "ListBucket", "PutObject")
ALLOWED = (
    *(f"s3:{action}" for action in (*ON_S3, "ListBucketMultipartUploads")),
    *("lambda:InvokeFunction", "lambda:GetFunctionConfiguration", "logs:PutLogEvents"),
    *(f"kinesis:{action}" for action in ("DescribeStream", "GetShardIterator", "GetRecords", "ListShards")),
)
# Does with each record what its data says, and reports each event.
SOURCE = """
import base64, json, os
import boto3
sqs = boto3.client("sqs")
def handler(event, context):
    data = [base64.b64decode(one["data"]).decode() for one in event["records"]]
    sqs.send_message(QueueUrl=os.environ["SEEN"], MessageBody=json.dumps({**event, "data": data}))
    if "raise" in data:
        raise ValueError("as requested")
    if "nothing" in data:
        return {}
    if "big" in data:
        return {"records": [], "padding": "x" * 6300000}
    results = []
    for one, said in zip(event["records"], data):
        result = {"drop": "Dropped", "fail": "ProcessingFailed", "odd": "Odd"}.get(said, "Ok")
        answer = {"recordId": one["recordId"], "result": result}
        if result == "Ok":
            answer["data"] = base64.b64encode(said.upper().encode()).decode()
            answer["metadata"] = {"partitionKeys": {} if said == "keyless" else {"first": said[0]}}
        if said == "text":
            answer["data"] = "{}"
        if said != "forget":
            results.append(answer)
        if said == "twice":
            results.append(answer)
    return {"records": results}
"""


@pytest.fixture(autouse=True)
def _paced(local_aws: LocalAws) -> Iterator[None]:
    """Minutes of buffers take a fraction of a second."""
    with local_aws.paced(0.5):
        yield


class Hose:
    """A delivery stream with a function, a bucket, and a log stream."""

    def __init__(
        self,
        functions: Functions,
        *,
        refused: str = "",
        function: bool = True,
        retries: int = 1,
        **settings: Any,
    ) -> None:
        self.aws = functions.aws
        self.client, self.s3 = functions.aws.client("firehose"), functions.aws.client("s3")
        self.name = f"hose-{uuid.uuid4().hex[:8]}"
        self.seen = functions.queue()
        self.role = functions.role(
            *((action, "*") for action in ALLOWED if action != refused), service=FIREHOSE
        )
        for bucket in (self.name, f"{self.name}-backup"):
            self.s3.create_bucket(Bucket=bucket)
        logs = self.aws.client("logs")
        logs.create_log_group(logGroupName=self.name)
        logs.create_log_stream(logGroupName=self.name, logStreamName="errors")
        source = settings.pop("source", {})
        processors = settings.pop("processors", [])
        if function:
            made = functions.make(
                SOURCE,
                role=functions.role(("sqs:SendMessage", "*")),
                Environment={"Variables": {"SEEN": self.seen.url}},
            )
            self.function = functions.arn("lambda", f"function:{made}")
            parameters = {"LambdaArn": self.function, "NumberOfRetries": str(retries)}
            parameters |= {"BufferSizeInMBs": "1", "BufferIntervalInSeconds": "15"}
            processors = [processor("Lambda", **parameters), *processors]
        destination = {
            "RoleARN": self.role,
            "BucketARN": f"arn:aws:s3:::{self.name}",
            "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 15},
            "Prefix": "ok/!{timestamp:yyyy}/",
            "ErrorOutputPrefix": "bad/!{firehose:error-output-type}/",
            "ProcessingConfiguration": {"Enabled": bool(processors), "Processors": processors},
            "CloudWatchLoggingOptions": {
                "Enabled": True,
                "LogGroupName": self.name,
                "LogStreamName": "errors",
            },
            **settings,
        }
        self.arn = self.client.create_delivery_stream(
            DeliveryStreamName=self.name, ExtendedS3DestinationConfiguration=destination, **source
        )["DeliveryStreamARN"]

    def put(self, *data: str) -> dict[str, Any]:
        """Put records."""
        records = [{"Data": one.encode()} for one in data]
        answer: dict[str, Any] = self.client.put_record_batch(DeliveryStreamName=self.name, Records=records)
        return answer

    def objects(self, prefix: str = "", *, backup: bool = False) -> dict[str, bytes]:
        """The objects with a prefix."""
        bucket = f"{self.name}-backup" if backup else self.name
        listed = self.s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
        return {
            one["Key"]: self.s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed
        }

    def failed(self, count: int) -> list[dict[str, Any]]:
        """That many error records, when they are there."""

        def look() -> list[dict[str, Any]] | None:
            found = b"".join(self.objects("bad/").values()).splitlines()
            return [json.loads(line) for line in found] if len(found) >= count else None

        return eventually(look) or []

    def logged(self) -> list[dict[str, Any]]:
        """What is in the log stream."""
        events = self.aws.client("logs").filter_log_events(logGroupName=self.name)["events"]
        return [json.loads(event["message"]) for event in events]

    def metrics(self, name: str) -> list[float]:
        """The sums of a metric."""
        found = self.aws.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/Firehose",
            MetricName=name,
            Dimensions=[{"Name": "DeliveryStreamName", "Value": self.name}],
            StartTime="2026-01-01T00:00:00Z",
            EndTime="2100-01-01T00:00:00Z",
            Period=10**8 // 60 * 60,
            Statistics=["Sum"],
        )["Datapoints"]
        return [one["Sum"] for one in found]


def processor(kind: str, **parameters: str) -> dict[str, Any]:
    """A processor."""
    named = [{"ParameterName": name, "ParameterValue": value} for name, value in parameters.items()]
    return {"Type": kind, "Parameters": named}


def raw(record: dict[str, Any]) -> str:
    """The data of an error record."""
    return base64.b64decode(record["rawData"]).decode()


def test_a_buffer_is_one_invocation_and_one_object(functions: Functions) -> None:
    backup = {
        "RoleARN": "",
        "BucketARN": "",
        "Prefix": "raw/",
        "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 15},
    }
    hose = Hose(functions, CompressionFormat="GZIP")
    update = {**backup, "RoleARN": hose.role, "BucketARN": f"arn:aws:s3:::{hose.name}-backup"}
    hose.client.update_destination(
        DeliveryStreamName=hose.name,
        CurrentDeliveryStreamVersionId="1",
        DestinationId=described(hose)["DestinationId"],
        ExtendedS3DestinationUpdate={"S3BackupMode": "Enabled", "S3BackupUpdate": update},
    )
    answer = hose.put("one", "drop", "fail", "two")
    event = hose.seen.wait_for_body()
    [failed] = hose.failed(1)
    [(key, data)] = eventually(lambda: hose.objects("ok/")).items()
    [saved] = eventually(lambda: hose.objects("raw/", backup=True)).values()

    assert answer["FailedPutCount"] == 0
    assert {len(one["RecordId"]) for one in answer["RequestResponses"]} == {224}
    assert event["data"] == ["one", "drop", "fail", "two"]
    assert event["deliveryStreamArn"] == hose.arn
    assert {name for name in event if name not in ("records", "data")} == {
        *("invocationId", "deliveryStreamArn", "region")
    }
    assert set(event["records"][0]) == {"recordId", "approximateArrivalTimestamp", "data"}
    assert re.fullmatch(r"\d{62}", event["records"][0]["recordId"])
    assert gzip.decompress(data) == b"ONETWO"
    assert re.fullmatch(rf"ok/20\d\d/{hose.name}-2-20[\d-]{{17}}-[0-9a-f-]{{36}}\.gz", key)
    assert saved == b"onedropfailtwo"
    assert list(failed) == [
        *("attemptsMade", "arrivalTimestamp", "errorCode", "errorMessage"),
        *("attemptEndingTimestamp", "rawData", "lambdaArn"),
    ]
    assert (raw(failed), failed["attemptsMade"]) == ("fail", 1)
    assert failed["lambdaArn"] == hose.function
    assert hose.metrics("IncomingRecords") == [4]
    assert hose.metrics("DeliveryToS3.Records") == [2]
    assert hose.metrics("DeliveryToS3.Success") == hose.metrics("ExecuteProcessing.Success") == [1]
    assert hose.metrics("SucceedProcessing.Records") == [3]
    assert described(hose)["ExtendedS3DestinationDescription"]["S3BackupDescription"]["Prefix"] == "raw/"


def described(hose: Hose) -> dict[str, Any]:
    """The destination, as Firehose describes it."""
    answer = hose.client.describe_delivery_stream(DeliveryStreamName=hose.name)
    found: dict[str, Any] = answer["DeliveryStreamDescription"]["Destinations"][0]
    return found


def test_records_of_a_function_that_fails_are_error_output_and_never_data(functions: Functions) -> None:
    hose = Hose(functions, CompressionFormat="ZIP")
    hose.put("good", "raise")
    failed = hose.failed(2)
    hose.put("later")
    [data] = eventually(lambda: hose.objects("ok/")).values()
    [entry] = eventually(hose.logged)

    assert sorted(map(raw, failed)) == ["good", "raise"]
    assert {one["errorCode"] for one in failed} == {"Lambda.FunctionError"}
    assert {one["attemptsMade"] for one in failed} == {2}
    with zipfile.ZipFile(BytesIO(data)) as archive:
        assert archive.read(archive.namelist()[0]) == b"LATER"
    assert (entry["errorCode"], entry["processor"]) == ("Lambda.FunctionError", hose.function)


def test_a_record_goes_to_the_partition_of_its_keys(functions: Functions) -> None:
    hose = Hose(
        functions,
        processors=[
            processor(
                "MetadataExtraction", MetadataExtractionQuery="{kind: .KIND}", JsonParsingEngine="JQ-1.6"
            ),
            processor("AppendDelimiterToRecord", Delimiter="\\n"),
            processor("RecordDeAggregation", SubRecordType="JSON"),
        ],
        Prefix="!{partitionKeyFromLambda:first}/!{partitionKeyFromQuery:kind}/",
        BufferingHints={"SizeInMBs": 64, "IntervalInSeconds": 60},
        DynamicPartitioningConfiguration={"Enabled": True},
    )
    hose.put('{"kind":"a"}{"kind":"b"}', "keyless", '{"kind":"a"}', '["not an object"]')
    failed = hose.failed(2)
    eventually(lambda: len(hose.objects("{/")) == 2)
    found = hose.objects("{/")
    assert {key.rpartition("/")[0]: data for key, data in found.items()} == {
        "{/A": b'{"KIND":"A"}\n{"KIND":"A"}\n',
        "{/B": b'{"KIND":"B"}\n',
    }
    assert sorted(map(raw, failed)) == ['"not an object"', "keyless"]
    assert {one["errorCode"] for one in failed} == {"DynamicPartitioning.MetadataExtractionFailed"}


def test_a_full_buffer_does_not_wait_for_its_interval(functions: Functions) -> None:
    hose = Hose(functions, function=False, BufferingHints={"SizeInMBs": 1, "IntervalInSeconds": 900})
    hose.put(*["x" * 300_000] * 4)
    [data] = eventually(lambda: hose.objects("ok/")).values()
    assert len(data) == 1_200_000


@pytest.mark.parametrize("action", ["s3:PutObject", "s3:ListBucketMultipartUploads"])
def test_what_the_role_may_not_write_waits_until_it_may(functions: Functions, action: str) -> None:
    hose = Hose(functions, function=False, refused=action, BufferingHints={"IntervalInSeconds": 0})
    hose.put("one")
    entry = eventually(hose.logged)[0]
    assert entry["errorCode"] == "S3.AccessDenied"
    assert entry["destination"] == f"arn:aws:s3:::{hose.name}"
    assert not hose.objects()
    allow = {"Effect": "Allow", "Action": action, "Resource": "*"}
    functions.aws.client("iam").put_role_policy(
        RoleName=hose.role.rpartition("/")[2],
        PolicyName="more",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )
    assert list(eventually(lambda: hose.objects("ok/")).values()) == [b"one"]


def test_the_role_needs_the_key_of_the_bucket(functions: Functions) -> None:
    hose = Hose(functions, function=False, BufferingHints={"IntervalInSeconds": 0})
    key = hose.aws.client("kms").create_key()["KeyMetadata"]["Arn"]
    by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": by_key}]}
    hose.s3.put_bucket_encryption(Bucket=hose.name, ServerSideEncryptionConfiguration=rules)
    hose.put("one")
    assert eventually(hose.logged)[0]["errorCode"] == "S3.AccessDenied"
    assert [one for one in hose.aws.denied() if "kms:Decrypt" in str(one)]


def test_a_function_that_the_role_may_not_invoke_is_error_output(functions: Functions) -> None:
    hose = Hose(functions, refused="lambda:InvokeFunction", retries=0)
    hose.put("one")
    [failed] = hose.failed(1)
    assert failed["errorCode"] == "Lambda.InvokeAccessDenied"
    assert not hose.seen.receive()


def test_still_needed_the_emulator_writes_at_once_and_asks_no_role(stock_aws: LocalAws) -> None:
    functions = Functions(stock_aws)
    hose = Hose(functions, function=False, refused="s3:PutObject")
    hose.put("one", "two")
    assert len(eventually(lambda: hose.objects("ok/"))) == 2


def test_records_of_a_kinesis_stream_are_read_with_the_role_of_the_source(functions: Functions) -> None:
    kinesis, name = functions.aws.client("kinesis"), f"source-{uuid.uuid4().hex[:8]}"
    kinesis.create_stream(StreamName=name, ShardCount=1)
    # Not allowed yet to read.
    role, stream = functions.role(service=FIREHOSE), functions.arn("kinesis", f"stream/{name}")
    source = {"KinesisStreamARN": stream, "RoleARN": role}
    hose = Hose(
        functions,
        source={
            "DeliveryStreamType": "KinesisStreamAsSource",
            "KinesisStreamSourceConfiguration": source,
        },
    )
    number = kinesis.put_record(StreamName=name, Data=b"one", PartitionKey="key")["SequenceNumber"]
    eventually(lambda: [one for one in hose.aws.denied() if "kinesis:DescribeStream" in str(one)])
    assert not hose.seen.receive()

    allow = {"Effect": "Allow", "Action": "kinesis:*", "Resource": stream}
    functions.aws.client("iam").put_role_policy(
        RoleName=role.rpartition("/")[2],
        PolicyName="reads",
        PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}),
    )
    event = hose.seen.wait_for_body()
    [record] = event["records"]
    assert event["sourceKinesisStreamArn"] == stream
    assert record["recordId"] == f"{number}000000"
    assert record["kinesisRecordMetadata"]["sequenceNumber"] == number
    assert set(record["kinesisRecordMetadata"]) == {
        *("sequenceNumber", "subsequenceNumber", "partitionKey", "shardId", "approximateArrivalTimestamp")
    }
    assert list(eventually(lambda: hose.objects("ok/")).values()) == [b"ONE"]


def test_a_template_has_the_same_effect_and_may_be_updated(functions: Functions) -> None:
    role = functions.role(*((action, "*") for action in ALLOWED), service=FIREHOSE)

    def resources(**settings: Any) -> dict[str, Any]:
        destination = {"RoleARN": role, "BucketARN": arn("Bucket"), **settings}
        properties = {
            "DeliveryStreamEncryptionConfigurationInput": {"KeyType": "AWS_OWNED_CMK"},
            "ExtendedS3DestinationConfiguration": {
                "BufferingHints": {"IntervalInSeconds": 0},
                **destination,
            },
        }
        hose = {"Type": "AWS::KinesisFirehose::DeliveryStream", "Properties": properties}
        return {"Bucket": {"Type": "AWS::S3::Bucket"}, "Hose": hose}

    outputs = {"Bucket": ref("Bucket"), "Hose": ref("Hose")}
    stack = deploy(functions.aws, resources(), outputs)
    stack.update(resources(FileExtension=".txt"), outputs)
    firehose, s3 = functions.aws.client("firehose"), functions.aws.client("s3")
    answer = firehose.put_record(DeliveryStreamName=stack.outputs["Hose"], Record={"Data": b"one"})
    listed = eventually(lambda: s3.list_objects_v2(Bucket=stack.outputs["Bucket"]).get("Contents"))
    assert answer["Encrypted"]
    assert re.fullmatch(r"20\d\d/\d\d/\d\d/\d\d/stack-.*-2-20.*\.txt", listed[0]["Key"])

    function = functions.make("def handler(event, context): pass")
    dynamic = {
        "DynamicPartitioningConfiguration": {"Enabled": True},
        "BufferingHints": {"IntervalInSeconds": 60},
        "Prefix": "!{partitionKeyFromLambda:a}/",
        "ErrorOutputPrefix": "bad/",
        "ProcessingConfiguration": {
            "Enabled": True,
            "Processors": [processor("Lambda", LambdaArn=functions.arn("lambda", f"function:{function}"))],
        },
    }
    with pytest.raises(DeploymentFailedError, match="only be enabled when the Firehose stream is created"):
        stack.update(resources(**dynamic), outputs)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Snappy", b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x09\x03\xfc\x02\0\0\0abc"),
        ("HADOOP_SNAPPY", b"\0\0\0\x03\0\0\0\x09\x03\xfc\x02\0\0\0abc"),
        ("UNCOMPRESSED", b"abc"),
    ],
)
def test_snappy_blocks_hold_one_literal(kind: str, expected: bytes) -> None:
    assert compressed({"CompressionFormat": kind}, b"abc")[0] == expected
