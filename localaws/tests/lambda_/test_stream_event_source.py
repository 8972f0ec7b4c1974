"""Kinesis event source mappings."""

from __future__ import annotations

import json
import time
import uuid
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest

from helpers.lambda_functions import Functions, Hold, eventually
from helpers.stacks import arn, deploy, ref
from localaws.services.lambda_ import stream_lanes

pytestmark = pytest.mark.local

# Reports each batch, and does what the records say.
SOURCE = """
import base64, json, os, time
import boto3
sqs = boto3.client("sqs")
def handler(event, context):
    bodies = [base64.b64decode(record["kinesis"]["data"]).decode() for record in event["Records"]]
    keys = [record["kinesis"]["partitionKey"] for record in event["Records"]]
    event.pop("Records")
    said = {"bodies": bodies, "keys": keys, **event}
    sqs.send_message(QueueUrl=os.environ["SEEN"], MessageBody=json.dumps(said))
    if "raise" in bodies:
        raise RuntimeError("as requested")
    for number, body in enumerate(bodies):
        if body == "slow":
            hold()
        if body == "fail":
            return {"batchItemFailures": [{"itemIdentifier": NUMBERS[number]}]}
    return {"state": {"count": event.get("state", {}).get("count", 0) + len(bodies)}}
""".replace(
    "    event.pop",
    '    NUMBERS = [record["kinesis"]["sequenceNumber"] for record in event["Records"]]\n    event.pop',
)
READING = (
    *("DescribeStream", "DescribeStreamSummary", "GetRecords", "GetShardIterator", "ListShards"),
    *("SubscribeToShard", "DescribeStreamConsumer"),
)


class Source:
    """A stream with one shard, and a function that can read it."""

    def __init__(
        self, functions: Functions, *, refused: str = "", code: str = SOURCE, **mapping: Any
    ) -> None:
        self._functions = functions
        self._code = code
        self._kinesis = functions.aws.client("kinesis")
        self.name = f"stream-{uuid.uuid4().hex[:8]}"
        self._kinesis.create_stream(StreamName=self.name, ShardCount=1)
        self.seen, self.failures = functions.queue(), functions.queue()
        allowed = [f"kinesis:{action}" for action in READING] + [
            "sqs:SendMessage",
            "s3:PutObject",
            "sns:Publish",
        ]
        self.role = functions.role(*[(action, "*") for action in allowed if action != refused])
        self._mapping = {"DestinationConfig": {"OnFailure": {"Destination": self.failures.arn}}} | mapping

    def put(self, *bodies: str, key: str = "key") -> None:
        """Put records; a body may name its key: ``a:body``."""
        parts = [body.rpartition(":") for body in bodies]
        records = [{"PartitionKey": given or key, "Data": body.encode()} for given, _, body in parts]
        self._kinesis.put_records(StreamName=self.name, Records=records)

    def read(self, source: str = "") -> Source:
        """Start reading from the oldest record."""
        variables = {"Variables": {"SEEN": self.seen.url}}
        name = self._functions.make(self._code, role=self.role, Environment=variables)
        self.id = self._functions.aws.client("lambda").create_event_source_mapping(
            FunctionName=name,
            EventSourceArn=source or self._functions.arn("kinesis", f"stream/{self.name}"),
            **{"StartingPosition": "TRIM_HORIZON"} | self._mapping,
        )["UUID"]
        return self

    def batches(self, count: int) -> list[Any]:
        """The results of the function for some batches, in order."""
        return self.batches_until(lambda found: len(found) >= count)

    def batches_until(self, enough: Callable[[list[Any]], bool]) -> list[Any]:
        """The results of the function, in order, until they are enough."""
        found: list[Any] = []

        def complete() -> bool:
            found.extend(json.loads(message["Body"]) for message in self.seen.receive())
            return enough(found)

        eventually(complete)
        return found

    def bodies(self, count: int) -> list[list[str]]:
        """The bodies of some batches."""
        return [one["bodies"] for one in self.batches(count)]


def test_a_failing_batch_is_bisected_down_to_the_poison_record(functions: Functions) -> None:
    source = Source(functions, BisectBatchOnFunctionError=True, MaximumRetryAttempts=1)
    source.put("1", "2", "raise", "4")
    seen = source.read().bodies(6)
    assert seen == [["1", "2", "raise", "4"], ["1", "2"], ["raise", "4"], ["raise"], ["raise"], ["4"]]
    failure = source.failures.wait_for_body()
    assert failure["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert failure["requestContext"]["approximateInvokeCount"] == 2
    batch = failure["KinesisBatchInfo"]
    assert batch["batchSize"] == 1
    assert batch["startSequenceNumber"] == batch["endSequenceNumber"]
    assert batch["shardId"] == "shardId-000000000000"


def test_without_bisecting_the_whole_batch_is_discarded_and_the_shard_continues(functions: Functions) -> None:
    source = Source(functions, MaximumRetryAttempts=0, BatchSize=2)
    source.put("1", "raise", "3")
    assert source.read().bodies(2) == [["1", "raise"], ["3"]]
    assert source.failures.wait_for_body()["KinesisBatchInfo"]["batchSize"] == 2


def test_a_partial_answer_retries_from_the_record_that_failed(functions: Functions) -> None:
    source = Source(functions, MaximumRetryAttempts=1, FunctionResponseTypes=["ReportBatchItemFailures"])
    source.put("1", "fail", "3")
    assert source.read().bodies(2) == [["1", "fail", "3"], ["fail", "3"]]
    assert source.failures.wait_for_body()["KinesisBatchInfo"]["batchSize"] == 2


def test_records_that_are_too_old_are_discarded_without_an_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    failures: list[dict[str, Any]] = []
    monkeypatch.setattr(
        stream_lanes,
        "send_failure",
        lambda _mapping, records, **facts: failures.append(facts | {"of": records}),
    )
    monkeypatch.setattr(stream_lanes, "run_function", None)  # it would fail
    old = {"kinesis": {"approximateArrivalTimestamp": time.time() - 61}}
    stream_lanes.Lane({"MaximumRecordAgeInSeconds": 60}, "shard").run(stream_lanes.Batch([old]))
    assert [(one["condition"], one["answered"], one["of"]) for one in failures] == [
        ("RecordAgeExceeded", False, [old])
    ]


def test_lanes_run_in_parallel_and_preserve_the_order_of_each_key(functions: Functions, hold: Hold) -> None:
    source = Source(functions, code=hold.source + SOURCE, ParallelizationFactor=4, BatchSize=1)
    keys = "abcdefgh"
    source.put("a:slow", *(f"{key}:{number}" for number in range(3) for key in keys))
    # The slow record does not keep the other lanes waiting.
    seen = source.read().batches_until(lambda found: any(one["bodies"] == ["2"] for one in found))
    hold.release()
    seen += source.batches(25 - len(seen))
    order: defaultdict[str, list[str]] = defaultdict(list)
    for one in seen:
        order[one["keys"][0]] += one["bodies"]
    assert order["a"] == ["slow", "0", "1", "2"]
    assert all(order[key] == ["0", "1", "2"] for key in keys[1:])


def test_a_window_collects_records(functions: Functions) -> None:
    """The batch is full long before the window ends, so the second record cannot come too late."""
    source = Source(functions, MaximumBatchingWindowInSeconds=300, BatchSize=2).read()
    source.put("1")
    source.put("2")
    assert source.bodies(1) == [["1", "2"]]


def test_a_tumbling_window_carries_its_state_to_its_end(functions: Functions) -> None:
    source = Source(functions, TumblingWindowInSeconds=1, BatchSize=1)
    source.put("1", "2", "3")
    source.read()
    said: list[Any] = []

    def ended() -> bool:
        said.extend(json.loads(message["Body"]) for message in source.seen.receive())
        counted = sum(one["state"].get("count", 0) for one in said if one["isFinalInvokeForWindow"])
        return bool(counted == 3)

    eventually(ended)
    assert [one["bodies"] for one in said if one["bodies"]] == [["1"], ["2"], ["3"]]
    assert all(one["window"]["start"] < one["window"]["end"] for one in said)


def test_failures_also_go_to_topics_and_with_the_records_to_buckets(functions: Functions) -> None:
    s3, bucket = functions.aws.client("s3"), f"failures-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=bucket)
    subscriber = functions.queue(writable_by="sns.amazonaws.com")
    for destination in (functions.topic(subscriber), f"arn:aws:s3:::{bucket}"):
        config = {"OnFailure": {"Destination": destination}}
        source = Source(functions, MaximumRetryAttempts=0, DestinationConfig=config)
        source.put("raise")
        source.read()
    assert subscriber.wait_for_body()["KinesisBatchInfo"]["batchSize"] == 1
    [found] = eventually(lambda: s3.list_objects_v2(Bucket=bucket).get("Contents", []))
    assert found["Key"].startswith(f"aws/lambda/{source.id}/shardId-000000000000/")
    body = json.load(s3.get_object(Bucket=bucket, Key=found["Key"])["Body"])
    assert len(json.loads(body["payload"])["Records"]) == 1


def test_a_role_that_may_not_subscribe_gets_no_mapping_of_a_consumer(functions: Functions) -> None:
    source = Source(functions, refused="kinesis:SubscribeToShard")
    consumer = functions.aws.client("kinesis").register_stream_consumer(
        StreamARN=functions.arn("kinesis", f"stream/{source.name}"), ConsumerName="one"
    )["Consumer"]["ConsumerARN"]
    with pytest.raises(Exception, match="kinesis:SubscribeToShard"):
        source.read(consumer)


def test_a_consumer_in_a_template_reads_its_stream_and_is_deleted_with_its_stack(
    functions: Functions,
) -> None:
    stream = {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": 1}}
    consumer = {
        "Type": "AWS::Kinesis::StreamConsumer",
        "Properties": {"StreamARN": arn("Stream"), "ConsumerName": "one"},
    }
    stack = deploy(
        functions.aws,
        {"Stream": stream, "Consumer": consumer},
        {"Name": ref("Stream"), "Consumer": {"Fn::GetAtt": ["Consumer", "ConsumerARN"]}},
    )
    source = Source(functions)
    source.name = stack.outputs["Name"]
    source.put("1")
    assert source.read(stack.outputs["Consumer"]).bodies(1) == [["1"]]
    stack.delete()


def test_the_iterator_age_is_measured(functions: Functions) -> None:
    source = Source(functions)
    source.put("1")
    source.read().bodies(1)
    cloudwatch = functions.aws.client("cloudwatch")
    eventually(lambda: cloudwatch.list_metrics(Namespace="AWS/Lambda", MetricName="IteratorAge")["Metrics"])


def test_still_needed_the_emulator_retries_poison_records_for_ever(stock_functions: Functions) -> None:
    source = Source(stock_functions, MaximumRetryAttempts=0, BatchSize=1)
    source.put("raise", "2")
    seen = source.read().bodies(2)
    assert seen[:2] == [["raise"], ["raise"]]  # still needed: in AWS the second batch is ["2"]
    assert source.failures.receive() == []


def test_still_needed_the_emulator_has_no_consumers_in_templates(stock_functions: Functions) -> None:
    consumer = {"Type": "AWS::Kinesis::StreamConsumer", "Properties": {"StreamARN": "x", "ConsumerName": "y"}}
    with pytest.raises(Exception, match="AWS::Kinesis::StreamConsumer"):  # still needed
        deploy(stock_functions.aws, {"Consumer": consumer})
