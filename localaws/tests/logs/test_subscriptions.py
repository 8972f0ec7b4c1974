"""Subscription filters: who is sent what, with which permission."""

from __future__ import annotations

import base64
import gzip
import json
import os
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Queue, eventually
from localaws import LocalAws
from localaws.services.logs.subscriptions import _envelope, _parts

pytestmark = pytest.mark.local

DECODING = """
import base64, gzip, json
def handler(event, context):
    return json.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"])))
"""
PRINTING = "def handler(event, context): print(event)"
FAILING = "def handler(event, context): raise RuntimeError('broken')"


class Group:
    """A log group with a stream, and filters on it."""

    def __init__(self, functions: Functions) -> None:
        self.functions, self.logs = functions, functions.aws.client("logs")
        self.name = f"group-{uuid.uuid4().hex[:8]}"
        self.arn = functions.arn("logs", f"log-group:{self.name}:*")
        self.logs.create_log_group(logGroupName=self.name)
        self.logs.create_log_stream(logGroupName=self.name, logStreamName="stream")

    def allow(self, function: str, principal: str = "logs.amazonaws.com") -> None:
        """Let CloudWatch Logs invoke a function for this group only."""
        self.functions.aws.client("lambda").add_permission(
            FunctionName=function,
            StatementId=self.name,
            Action="lambda:InvokeFunction",
            Principal=principal,
            SourceArn=self.arn,
            SourceAccount=self.functions.aws.account,
        )

    def subscribe(self, destination: str, pattern: str = "", name: str = "filter", **more: str) -> None:
        """Put a filter; a destination without a colon is a function."""
        arn = destination if ":" in destination else self.functions.arn("lambda", f"function:{destination}")
        place = {"logGroupName": self.name, "filterName": name}
        self.logs.put_subscription_filter(**place, filterPattern=pattern, destinationArn=arn, **more)

    def write(self, *messages: str) -> int:
        """Put events; returns their time."""
        now = int(time.time() * 1000)
        events = [{"timestamp": now, "message": message} for message in messages]
        self.logs.put_log_events(logGroupName=self.name, logStreamName="stream", logEvents=events)
        return now


class Records:
    """What arrives in a queue of results, one after the other."""

    def __init__(self, functions: Functions) -> None:
        self.queue: Queue = functions.queue()
        self._kept: list[dict[str, Any]] = []

    def next(self) -> dict[str, Any]:
        """The record of the next invocation."""
        while not self._kept:
            self._kept = [json.loads(one["Body"]) for one in eventually(self.queue.receive)]
        return self._kept.pop(0)

    def envelope(self) -> dict[str, Any]:
        """The next envelope that is not a control message, from a function that returns it."""
        while True:
            found: dict[str, Any] = self.next()["responsePayload"]
            if found["messageType"] != "CONTROL_MESSAGE":
                return found


Receiver = tuple[str, Records]


@pytest.fixture(scope="module")
def receiver(local_aws: LocalAws) -> Receiver:
    """A function that returns what it is sent, and its results."""
    functions = Functions(local_aws)
    records = Records(functions)
    name = functions.make(DECODING, role=functions.role(("sqs:SendMessage", records.queue.arn)))
    functions.settle(name, OnSuccess=records.queue.arn)
    return name, records


@pytest.fixture
def group(functions: Functions) -> Iterator[Group]:
    """A log group, which is deleted with its filters."""
    made = Group(functions)
    yield made
    made.logs.delete_log_group(logGroupName=made.name)


def test_matching_events_are_sent_in_the_envelope(group: Group, receiver: Receiver) -> None:
    function, records = receiver
    group.allow(function)
    group.subscribe(function, "{ $.level = ERROR }")
    control = records.next()["responsePayload"]
    assert (control["messageType"], control["owner"]) == ("CONTROL_MESSAGE", "CloudwatchLogs")
    assert control["logEvents"][0]["message"].startswith(
        "CWL CONTROL MESSAGE: Checking health of destination"
    )
    now = group.write('{"level": "ERROR", "n": 1}', '{"level": "INFO"}', '{"level": "ERROR", "n": 2}')
    envelope = records.envelope()
    events = envelope.pop("logEvents")
    assert envelope == {
        "messageType": "DATA_MESSAGE",
        "owner": group.functions.aws.account,
        "logGroup": group.name,
        "logStream": "stream",
        "subscriptionFilters": ["filter"],
    }
    assert [(event["timestamp"], json.loads(event["message"])["n"]) for event in events] == [
        (now, 1),
        (now, 2),
    ]
    found = group.logs.filter_log_events(logGroupName=group.name, filterPattern="ERROR")["events"]
    assert [event["id"] for event in events] == [event["eventId"] for event in found]
    assert all(set(event) == {"id", "timestamp", "message"} and len(event["id"]) == 56 for event in events)


def test_what_functions_write_is_sent_with_extracted_fields(
    group: Group, receiver: Receiver, functions: Functions
) -> None:
    function, records = receiver
    group.allow(function, f"logs.{functions.aws.region}.amazonaws.com")
    group.subscribe(function, "[verb=GET, path, ..., status>=500]")
    source = functions.make(PRINTING, LoggingConfig={"LogGroup": group.name})
    functions.invoke(source, "GET /a HTTP/1.1 200")
    functions.invoke(source, 'GET /b "as asked" 503')
    envelope = records.envelope()
    (event,) = envelope["logEvents"]
    assert event["extractedFields"] == {"verb": "GET", "path": "/b", "3": "as asked", "status": "503"}
    assert "[$LATEST]" in envelope["logStream"]


def test_a_function_must_allow_it_when_the_filter_is_put_and_at_each_delivery(
    group: Group, receiver: Receiver
) -> None:
    function, records = receiver
    with pytest.raises(
        ClientError, match="Could not execute the lambda function\\. Make sure you have given"
    ):
        group.subscribe(function)
    assert not group.logs.describe_subscription_filters(logGroupName=group.name)["subscriptionFilters"]
    group.allow(function)
    group.subscribe(function)
    lambda_ = group.functions.aws.client("lambda")
    lambda_.remove_permission(FunctionName=function, StatementId=group.name)
    group.write("lost")
    group.allow(function)
    group.write("sent")
    assert [event["message"] for event in records.envelope()["logEvents"]] == ["sent"]
    metrics = group.functions.aws.client("cloudwatch").list_metrics(Namespace="AWS/Logs")["Metrics"]
    mine = {
        one["MetricName"]
        for one in metrics
        if {"Name": "LogGroupName", "Value": group.name} in one["Dimensions"]
    }
    assert mine == {"DeliveryErrors", "ForwardedLogEvents", "ForwardedBytes"}


def test_a_batch_that_fails_is_retried_and_sent_to_the_failure_destination(
    group: Group, functions: Functions
) -> None:
    failed = Records(functions)
    function = functions.make(FAILING, role=functions.role(("sqs:SendMessage", failed.queue.arn)))
    functions.settle(function, MaximumRetryAttempts=1, OnFailure=failed.queue.arn)
    group.allow(function)
    group.subscribe(function, "poison")
    group.write("poison")
    records = [failed.next() for _ in ("the control message", "the event")]
    assert [record["requestContext"]["approximateInvokeCount"] for record in records] == [2, 2]
    packed = [base64.b64decode(record["requestPayload"]["awslogs"]["data"]) for record in records]
    kinds = {json.loads(gzip.decompress(one))["messageType"] for one in packed}
    assert kinds == {"CONTROL_MESSAGE", "DATA_MESSAGE"}


def test_a_stream_is_reached_with_the_role(group: Group, functions: Functions) -> None:
    kinesis, name = functions.aws.client("kinesis"), f"stream-{group.name}"
    kinesis.create_stream(StreamName=name, ShardCount=1)
    arn = kinesis.describe_stream(StreamName=name)["StreamDescription"]["StreamARN"]
    weak = functions.role(service="logs.amazonaws.com")
    with pytest.raises(ClientError, match="Could not deliver test message to specified Kinesis stream"):
        group.subscribe(arn, roleArn=weak)
    group.subscribe(arn, roleArn=functions.role(("kinesis:PutRecord", arn), service="logs.amazonaws.com"))
    group.write("hello")
    place = {"ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
    iterator = kinesis.get_shard_iterator(StreamName=name, **place)["ShardIterator"]
    records = kinesis.get_records(ShardIterator=iterator)["Records"]
    assert [record["PartitionKey"] for record in records] == ["control", "stream"]
    kinds = [json.loads(gzip.decompress(record["Data"]))["messageType"] for record in records]
    assert kinds == ["CONTROL_MESSAGE", "DATA_MESSAGE"]


def test_firehose_is_reached_with_the_role(group: Group, functions: Functions) -> None:
    firehose, s3, name = functions.aws.client("firehose"), functions.aws.client("s3"), f"to-{group.name}"
    s3.create_bucket(Bucket=name)
    role = functions.role(("s3:*", "*"), service="firehose.amazonaws.com")
    hints = {"IntervalInSeconds": 0, "SizeInMBs": 1}
    target = {"RoleARN": role, "BucketARN": f"arn:aws:s3:::{name}", "BufferingHints": hints}
    arn = firehose.create_delivery_stream(
        DeliveryStreamName=name,
        ExtendedS3DestinationConfiguration=target,
    )["DeliveryStreamARN"]
    eventually(
        lambda: (
            firehose.describe_delivery_stream(DeliveryStreamName=name)["DeliveryStreamDescription"][
                "DeliveryStreamStatus"
            ]
            == "ACTIVE"
        )
    )
    group.subscribe(arn, roleArn=functions.role(("firehose:PutRecord", arn), service="logs.amazonaws.com"))
    group.write("hello")

    def stored() -> bytes:
        keys = [one["Key"] for one in s3.list_objects_v2(Bucket=name).get("Contents", [])]
        return b"".join(gzip.decompress(s3.get_object(Bucket=name, Key=key)["Body"].read()) for key in keys)

    eventually(lambda: b"CONTROL_MESSAGE" in stored() and b"hello" in stored())


def test_destinations_and_numbers_are_limited(group: Group, receiver: Receiver) -> None:
    function, _ = receiver
    arn = group.functions.arn
    for destination, role, text in (
        (arn("sns", "topic"), "", "for vendor sns"),
        (function, "x" * 20, "for vendor lambda cannot be used with roleArn"),
        (arn("kinesis", "stream/a"), "", "for vendor kinesis cannot be used without roleArn"),
        (arn("lambda", "function:gone"), "", "Could not execute the lambda function"),
    ):
        with pytest.raises(ClientError, match=text):
            group.subscribe(destination, **({"roleArn": role} if role else {}))
    group.allow(function)
    for number in range(5):
        group.subscribe(function, "never", name=f"filter-{number}")
    with pytest.raises(ClientError, match="Resource limit exceeded"):
        group.subscribe(function, "never", name="one-more")
    group.subscribe(function, "changed", name="filter-4")
    listed = group.logs.describe_subscription_filters(logGroupName=group.name)["subscriptionFilters"]
    assert [one["filterPattern"] for one in listed] == ["never"] * 4 + ["changed"]
    assert "roleArn" not in listed[0]


def test_at_most_five_filters_of_a_group_have_regular_expressions(group: Group, receiver: Receiver) -> None:
    function, _ = receiver
    group.allow(function)
    metric = {"metricNamespace": "n", "metricName": "m", "metricValue": "1"}
    for number in range(3):
        place = {"logGroupName": group.name, "filterName": f"metric-{number}"}
        group.logs.put_metric_filter(**place, filterPattern="%a.c%", metricTransformations=[metric])
    group.subscribe(function, "%one%", name="one")
    group.subscribe(function, "%two%", name="two")
    with pytest.raises(ClientError, match="Resource limit exceeded"):
        group.subscribe(function, "%three%", name="three")


def test_a_function_that_writes_to_its_own_group_is_invoked_again_and_again(
    group: Group, functions: Functions
) -> None:
    function = functions.make(PRINTING, LoggingConfig={"LogGroup": group.name})
    group.allow(function)
    group.subscribe(function, "START")

    def starts() -> int:
        return len(group.logs.filter_log_events(logGroupName=group.name, filterPattern="START")["events"])

    eventually(lambda: starts() >= 4)
    group.logs.delete_subscription_filter(logGroupName=group.name, filterName="filter")


def test_what_is_too_large_is_sent_in_parts() -> None:
    events = [{"id": str(n), "timestamp": n, "message": os.urandom(2000).hex()} for n in range(8)]
    parts = list(_parts(events, lambda some: _envelope("DATA_MESSAGE", "1", "g", "s", ["f"], some), 6000))
    assert [event for part, _ in parts for event in part] == events
    assert len(parts) > 2
    assert all(len(data) <= 6000 for _, data in parts)


def test_the_emulator_still_asks_no_policy(stock_functions: Functions) -> None:
    group = Group(stock_functions)
    group.subscribe(stock_functions.make(PRINTING))
    assert group.logs.describe_subscription_filters(logGroupName=group.name)["subscriptionFilters"]
