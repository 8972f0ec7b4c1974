"""Event source mappings of DynamoDB streams."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import pytest

from helpers.lambda_functions import Functions, eventually
from localaws import LocalAws
from localaws.services.lambda_.stream_lanes import Lane

pytestmark = pytest.mark.local

# Reports the ids of each batch, and does what an id says.
SOURCE = """
import json, os
import boto3
sqs = boto3.client("sqs")
def handler(event, context):
    ids = [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
    sqs.send_message(QueueUrl=os.environ["SEEN"], MessageBody=json.dumps(ids))
    if "raise" in ids:
        raise RuntimeError("as requested")
    for record, id in zip(event["Records"], ids):
        if id == "fail":
            return {"batchItemFailures": [{"itemIdentifier": record["dynamodb"]["SequenceNumber"]}]}
"""
READING = ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")


class Source:
    """A table with items, and a function that reads its stream from the oldest record."""

    def __init__(self, functions: Functions, *ids: str, source: str = SOURCE, **mapping: Any) -> None:
        dynamodb = functions.aws.client("dynamodb")
        name = f"table-{uuid.uuid4().hex[:8]}"
        stream = dynamodb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )["TableDescription"]["LatestStreamArn"]
        for each in ids:
            dynamodb.put_item(TableName=name, Item={"id": {"S": each}})
        self.seen, self.failures = functions.queue(), functions.queue()
        allowed = [*(f"dynamodb:{action}" for action in READING), "sqs:SendMessage"]
        function = functions.make(
            source,
            role=functions.role(*((action, "*") for action in allowed)),
            Environment={"Variables": {"SEEN": self.seen.url}},
        )
        self.table, self._lambda = name, functions.aws.client("lambda")
        self.mapping = self._lambda.create_event_source_mapping(
            FunctionName=function,
            EventSourceArn=stream,
            StartingPosition="TRIM_HORIZON",
            DestinationConfig={"OnFailure": {"Destination": self.failures.arn}},
            **mapping,
        )["UUID"]

    def enable(self) -> None:
        """Enable the mapping."""
        self._lambda.update_event_source_mapping(UUID=self.mapping, Enabled=True)

    def batches(self) -> list[list[str]]:
        """The batches that have arrived since the last call."""
        return [json.loads(message["Body"]) for message in self.seen.receive()]


def test_a_poison_record_is_isolated_and_discarded(functions: Functions) -> None:
    source = Source(
        functions, "a", "raise", "b", "c", BisectBatchOnFunctionError=True, MaximumRetryAttempts=0
    )
    record = source.failures.wait_for_body()
    assert record["requestContext"]["condition"] == "RetryAttemptsExhausted"
    assert record["DDBStreamBatchInfo"]["batchSize"] == 1
    assert "/stream/" in record["DDBStreamBatchInfo"]["streamArn"]
    arrival = record["DDBStreamBatchInfo"]["approximateArrivalOfFirstRecord"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", arrival)
    batches: list[list[str]] = []

    def processed() -> bool:
        batches.extend(source.batches())
        return {"a", "b", "c"} <= {one for batch in batches if "raise" not in batch for one in batch}

    eventually(processed)


def test_only_what_failed_is_retried(functions: Functions) -> None:
    settings: dict[str, Any] = {
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MaximumRetryAttempts": 1,
    }
    source = Source(functions, "a", "fail", "b", **settings)
    record = source.failures.wait_for_body()
    assert record["DDBStreamBatchInfo"]["batchSize"] == 2  # from the first failure on
    assert sorted(source.batches(), key=len) == [["fail", "b"], ["a", "fail", "b"]]


def test_a_batch_is_at_most_six_megabytes_of_json() -> None:
    """A number of one digit takes three bytes in the table, and ten in the event."""
    mapping = {"BatchSize": 100, "MaximumBatchingWindowInSeconds": 0}
    lane = Lane(mapping, "shard")
    numbers = {"L": [{"N": "1"}] * 100_000}
    for number in range(7):
        written = {"NewImage": {"l": numbers}, "SequenceNumber": str(number), "SizeBytes": 300_000}
        lane.add({"dynamodb": written})
    batch = lane.next()
    assert batch is not None
    assert len(batch.records) == 6


def test_a_stream_that_was_disabled_is_read_to_its_end(functions: Functions) -> None:
    source = Source(functions, "a", "b", Enabled=False)
    functions.aws.client("dynamodb").update_table(
        TableName=source.table, StreamSpecification={"StreamEnabled": False}
    )
    source.enable()
    assert source.seen.wait_for_body() == ["a", "b"]


COUNTING = """
import json, os
import boto3
sqs = boto3.client("sqs")
def handler(event, context):
    sqs.send_message(QueueUrl=os.environ["SEEN"], MessageBody=json.dumps(event | {"Records": []}))
    return {"state": {"count": event["state"].get("count", 0) + len(event["Records"])}}
"""


def test_a_tumbling_window_carries_its_state_to_its_end(functions: Functions) -> None:
    source = Source(functions, "a", "b", "c", source=COUNTING, TumblingWindowInSeconds=1, BatchSize=1)
    said: list[dict[str, Any]] = []

    def all_counted() -> bool:
        said.extend(json.loads(message["Body"]) for message in source.seen.receive())
        last = [one for one in said if one["isFinalInvokeForWindow"]]
        counts: list[int] = [one["state"]["count"] for one in last]
        return sum(counts) == 3

    eventually(all_counted)
    assert {one["shardId"][:8] for one in said} == {"shardId-"}
    assert {one["eventSourceARN"].split("/")[1] for one in said} == {source.table}
    assert {one["isWindowTerminatedEarly"] for one in said} == {False}
    assert all(one["window"]["start"] < one["window"]["end"] for one in said)


def test_the_emulator_still_retries_for_ever(stock_aws: LocalAws) -> None:
    source = Source(Functions(stock_aws), "raise", MaximumRetryAttempts=0)
    seen: list[list[str]] = []

    def again() -> bool:
        seen.extend(source.batches())
        return len(seen) > 1

    eventually(again)
