"""`aws.faults`: calls, functions and queues that fail because a test asks for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, Hold
from localaws import LocalAws
from localaws.faults import Faults
from localaws.faults.rules import Rule, Rules

local = pytest.mark.local


@pytest.fixture(autouse=True)
def _no_faults_are_left(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if "local_aws" in request.fixturenames:
        request.getfixturevalue("local_aws").faults.clear()


# --- What may be asked for


def not_called(*args: object) -> None:
    raise AssertionError(args)


ASKED: list[tuple[Callable[[Faults], object], str]] = [
    (lambda faults: faults.api("dynamo", error="X"), "boto3 has no such service"),
    (lambda faults: faults.api("dynamodb", "PutItm", error="X"), "did you mean PutItem"),
    (lambda faults: faults.api("dynamodb", error="ThrotlingException"), "did you mean ThrottlingException"),
    (lambda faults: faults.api("sqs", error="Nonsense"), "give status= as well"),
    (lambda faults: faults.api("sqs", latency="x"), "latency='x': give seconds from 0 to 900"),  # type: ignore[arg-type]
    (lambda faults: faults.function("f", killed=True, probability="x"), "probability='x': give"),  # type: ignore[arg-type]
    (lambda faults: faults.api("dynamodb", "PutItem"), "give error= or latency="),
    (lambda faults: faults.api("sqs", error="ThrottlingException", times=0), "times=0: give a number from 1"),
    (
        lambda faults: faults.api("sqs", error="ThrottlingException", times=True),
        "times=True: give a number from 1",
    ),
    (
        lambda faults: faults.api("sqs", error="ThrottlingException", probability=0),
        "probability=0: give a number above 0",
    ),
    (lambda faults: faults.api("sqs", latency=901), "latency=901: give seconds from 0 to 900"),
    (
        lambda faults: faults.api("events", "PutEvents", error="X", entries=0),
        "entries=0: give a number from 1",
    ),
    (lambda faults: faults.api("events", error="X", entries=1), "one of PutEvents, PutRecords"),
    (lambda faults: faults.api("sqs", "SendMessageBatch", error="X", entries=1), "not 'SendMessageBatch'"),
    (lambda faults: faults.api("events", "PutEvents", latency=1, entries=1), "give error= for the entries"),
    (lambda faults: faults.api("events", "PutEvents", error="X", status=500, entries=1), "no status="),
    (lambda faults: faults.function("f"), "give error=, killed=True or latency="),
    (lambda faults: faults.function("f", error="X", killed=True), "cannot be combined with killed"),
    (lambda faults: faults.function("f", latency=1, after_running=True), "needs error= or killed"),
    (lambda faults: faults.kill("arn:aws:lambda:x:1:function:f"), "not an ARN"),
    (lambda faults: faults.function("arn:aws:lambda:x:1:function:f", killed=True), "not an ARN"),
    (lambda faults: faults.queue("q"), "give duplicates=True or disordered=True"),
    (lambda faults: faults.queue("q.fifo", duplicates=True), "delivers each message once and in order"),
]


@pytest.mark.parametrize(("ask", "said"), ASKED, ids=[said for _, said in ASKED])
def test_a_fault_that_means_nothing_is_refused(ask: Callable[[Faults], object], said: str) -> None:
    session = boto3.Session("k", "s", region_name="us-east-1")
    with pytest.raises(ValueError, match=said):
        ask(Faults(not_called, session.client))


def test_the_same_seed_makes_the_same_faults() -> None:
    def pattern(seed: int) -> list[bool]:
        rules = Rules()
        rules.add(Rule("api", ("s3",), error="X", probability=0.5, seed=seed))
        return [rules.applying("api", lambda rule: True) is not None for _ in range(50)]

    assert pattern(1) == pattern(1) != pattern(2)
    assert 10 < sum(pattern(1)) < 40


@pytest.mark.parametrize("all_rules", [False, True])
def test_how_often_a_rule_was_applied_is_known_after_its_end(*, all_rules: bool) -> None:
    rules = Rules()
    number = rules.add(Rule("api", ("s3",), error="X"))
    rules.applying("api", lambda rule: True)
    rules.remove(None if all_rules else number)
    rules.remove(number)
    assert (rules.applied(number), rules.applied(number + 1)) == (1, 0)


def test_a_rule_that_is_used_up_makes_room_for_the_next() -> None:
    rules = Rules()
    rules.add(Rule("api", ("s3",), error="First", times=1))
    rules.add(Rule("api", ("s3",), error="Second"))
    found = [rules.applying("api", lambda rule: True) for _ in range(3)]
    assert [rule.error for rule in found if rule] == ["First", "Second", "Second"]


# --- API calls

# Of each protocol: JSON, query, REST with XML and with JSON, and CBOR.
CALLS: list[tuple[str, str, dict[str, Any]]] = [
    ("dynamodb", "ListTables", {}),
    ("sqs", "ListQueues", {}),
    ("sns", "ListTopics", {}),
    ("s3", "CreateBucket", {"Bucket": "photos"}),
    ("s3", "ListBuckets", {}),
    ("s3", "ListObjects", {"Bucket": "photos"}),
    ("s3", "ListObjectsV2", {"Bucket": "photos", "Prefix": "a"}),
    ("s3", "GetBucketLocation", {"Bucket": "photos"}),
    ("s3", "PutObject", {"Bucket": "photos", "Key": "a/b"}),
    ("s3", "CopyObject", {"Bucket": "photos", "Key": "b", "CopySource": "photos/a/b"}),
    ("s3", "GetObject", {"Bucket": "photos", "Key": "a/b"}),
    ("s3", "DeleteObjects", {"Bucket": "photos", "Delete": {"Objects": [{"Key": "a/b"}]}}),
    ("s3", "CreateMultipartUpload", {"Bucket": "photos", "Key": "a/b"}),
    ("s3", "UploadPart", {"Bucket": "photos", "Key": "a/b", "UploadId": "u", "PartNumber": 1}),
    ("iam", "ListRoles", {}),
    ("sts", "GetCallerIdentity", {}),
    ("kinesis", "ListStreams", {}),
    ("kms", "ListKeys", {}),
    ("ssm", "GetParameter", {"Name": "p"}),
    ("secretsmanager", "ListSecrets", {}),
    ("logs", "DescribeLogGroups", {}),
    ("rds", "DescribeDBInstances", {}),
    ("apigateway", "GetRestApis", {}),
    ("cloudformation", "ListStacks", {}),
    ("codedeploy", "ListApplications", {}),
    ("dynamodbstreams", "ListStreams", {}),
    ("firehose", "ListDeliveryStreams", {}),
    ("ecr", "DescribeRepositories", {}),
    ("organizations", "DescribeOrganization", {}),
    ("lambda", "Invoke", {"FunctionName": "f"}),
    ("lambda", "ListFunctions", {}),
    ("cloudwatch", "ListMetrics", {}),
    ("stepfunctions", "ListStateMachines", {}),
    ("events", "ListRules", {}),
    ("scheduler", "ListSchedules", {}),
    ("elbv2", "DescribeLoadBalancers", {}),
    ("ec2", "DescribeVpcs", {}),
    ("apigatewayv2", "GetApis", {}),
    ("cognito-idp", "ListUserPools", {"MaxResults": 1}),
    ("ses", "ListIdentities", {}),
    ("sesv2", "GetAccount", {}),
    ("rds-data", "BeginTransaction", {"resourceArn": "arn:aws:rds:a:b:c", "secretArn": "arn:aws:s:a:b:c"}),
]


@local
@pytest.mark.parametrize(
    ("service", "operation", "arguments"), CALLS, ids=[f"{service}-{name}" for service, name, _ in CALLS]
)
def test_an_api_call_fails_with_the_error_of_its_protocol(
    local_aws: LocalAws, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    with local_aws.faults.api(
        service, operation, error="OddException", status=400, message="as asked", times=1
    ) as fault:
        with pytest.raises(ClientError) as failed:
            local_aws.client(service)._make_api_call(operation, arguments)
        assert failed.value.response["Error"]["Code"] == "OddException"
        assert failed.value.response["Error"]["Message"] == "as asked"
        assert fault.applied == 1


@local
def test_the_status_is_that_of_the_services_model(local_aws: LocalAws) -> None:
    with local_aws.faults.api("lambda", "Invoke", error="TooManyRequestsException"):
        client = local_aws.session.client("lambda", config=Config(retries={"total_max_attempts": 1}))
        with pytest.raises(client.exceptions.TooManyRequestsException) as failed:
            client.invoke(FunctionName="f")
    assert failed.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


@local
def test_sdks_retry_a_throttled_call(local_aws: LocalAws) -> None:
    with local_aws.faults.api("dynamodb", "ListTables", error="ThrottlingException", times=2) as fault:
        assert local_aws.client("dynamodb").list_tables()["ResponseMetadata"]["RetryAttempts"] == 2
        assert fault.applied == 2


@local
def test_a_fault_concerns_only_its_operation_and_ends_with_its_block(local_aws: LocalAws) -> None:
    with local_aws.faults.api("sqs", "SendMessage", error="OddException", status=400) as fault:
        local_aws.client("sqs").list_queues()
        assert fault.applied == 0
    local_aws.faults.api("sqs", error="OddException", status=400)
    with pytest.raises(ClientError):
        local_aws.client("sqs").list_queues()
    local_aws.reset()
    local_aws.client("sqs").list_queues()


@local
def test_a_slow_call_takes_longer(local_aws: LocalAws) -> None:
    began = time.monotonic()
    with local_aws.faults.api("sqs", "ListQueues", latency=0.4, times=1):
        local_aws.client("sqs").list_queues()
    assert time.monotonic() - began >= 0.4


def entry(detail: str) -> dict[str, str]:
    return {"Source": "shop", "DetailType": "Order", "Detail": detail}


@local
def test_the_first_entries_of_a_batch_are_refused(local_aws: LocalAws) -> None:
    events, kinesis = local_aws.client("events"), local_aws.client("kinesis")
    kinesis.create_stream(StreamName="orders", ShardCount=1)
    with local_aws.faults.api("events", "PutEvents", error="ThrottlingException", message="no", entries=2):
        all_refused = events.put_events(Entries=[entry("{}")])
        answer = events.put_events(Entries=[entry("{}"), entry("{}"), entry("{}"), entry("no JSON")])
    refused = {"ErrorCode": "ThrottlingException", "ErrorMessage": "no"}
    assert (all_refused["FailedEntryCount"], all_refused["Entries"]) == (1, [refused])
    assert (answer["FailedEntryCount"], answer["Entries"][:2]) == (3, [refused, refused])
    assert ["EventId" in one for one in answer["Entries"][2:]] == [True, False]
    with local_aws.faults.api("kinesis", "PutRecords", error="InternalFailure", entries=1, times=1):
        records = [{"Data": data, "PartitionKey": "p"} for data in (b"a", b"b")]
        put = kinesis.put_records(StreamName="orders", Records=records)
    assert (put["FailedRecordCount"], put["Records"][0]["ErrorCode"]) == (1, "InternalFailure")
    shard = kinesis.list_shards(StreamName="orders")["Shards"][0]["ShardId"]
    start = kinesis.get_shard_iterator(StreamName="orders", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
    assert [one["Data"] for one in kinesis.get_records(ShardIterator=start["ShardIterator"])["Records"]] == [
        b"b"
    ]


CALLER = """
import boto3
def handler(event, context):
    return len(boto3.client("sqs").list_queues().get("QueueUrls", []))
"""


@local
def test_a_fault_may_concern_one_role(local_aws: LocalAws, functions: Functions) -> None:
    function = functions.make(CALLER, role=functions.role(("sqs:ListQueues", "*")))
    role = local_aws.client("lambda").get_function_configuration(FunctionName=function)["Role"]
    with local_aws.faults.api("sqs", error="OddException", status=400, role=role.rpartition("/")[2]):
        local_aws.client("sqs").list_queues()
        assert "OddException" in invoke(local_aws, function)["errorMessage"]
    assert invoke(local_aws, function) >= 0


# --- Functions

COUNTING = """
ran = 0
def handler(event, context):
    global ran
    ran += 1
    print("ran", ran)
    return ran
"""


@local
def test_a_function_fails_before_or_after_it_has_run(local_aws: LocalAws, functions: Functions) -> None:
    function = functions.make(COUNTING)
    with local_aws.faults.function(function, error="OSError", message="disk", times=1):
        failed = invoke(local_aws, function)
        assert (failed["errorType"], failed["errorMessage"]) == ("OSError", "disk")
    assert invoke(local_aws, function) == 1
    with local_aws.faults.function(f"{function[:-1]}*", killed=True, after_running=True, times=1):
        assert invoke(local_aws, function)["errorType"] == "Runtime.ExitError"
    assert invoke(local_aws, function) == 3


@local
def test_a_slow_function_times_out(local_aws: LocalAws, functions: Functions) -> None:
    function = functions.make(COUNTING, Timeout=1)
    with local_aws.faults.function(function, latency=30):
        assert "Task timed out after 1.00 seconds" in invoke(local_aws, function)["errorMessage"]


KEEPING = """
import pathlib, tempfile
kept = pathlib.Path(tempfile.gettempdir()) / "kept"
def handler(event, context):
    was = kept.exists()
    kept.touch()
    if event:
        hold()
    return was
"""


@local
@pytest.mark.parametrize("lost", [False, True])
def test_an_environment_is_killed_while_it_works_with_or_without_its_tmp(
    local_aws: LocalAws, functions: Functions, hold: Hold, lost: bool
) -> None:
    function = functions.make(hold.source + KEEPING, Timeout=60)
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(functions.invoke, function, "work")
        hold.wait()
        assert local_aws.faults.kill(f"{function[:-1]}*", lost=lost) == 1
        assert working.result().payload["errorType"] == "Runtime.ExitError"
    assert functions.invoke(function).payload is not lost
    assert local_aws.faults.kill("none") == 0


def invoke(aws: LocalAws, function: str) -> Any:
    return json.load(aws.client("lambda").invoke(FunctionName=function)["Payload"])


# --- Queues


@local
def test_a_queue_delivers_a_message_twice_although_it_was_deleted(local_aws: LocalAws) -> None:
    sqs, url = local_aws.client("sqs"), make_queue(local_aws, "twice")
    with local_aws.faults.queue("twice", duplicates=True, times=1) as fault:
        sqs.send_message(QueueUrl=url, MessageBody="order")
        first = sqs.receive_message(QueueUrl=url)["Messages"][0]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
        second = sqs.receive_message(QueueUrl=url)["Messages"][0]
        assert (second["MessageId"], second["Body"]) == (first["MessageId"], "order")
        assert second["ReceiptHandle"] != first["ReceiptHandle"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"])
        assert "Messages" not in sqs.receive_message(QueueUrl=url)
        assert fault.applied == 1


@local
def test_a_queue_delivers_out_of_order(local_aws: LocalAws) -> None:
    sqs, url = local_aws.client("sqs"), make_queue(local_aws, "mixed")
    for number in range(10):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    with local_aws.faults.queue("mixed", disordered=True, seed=1):
        received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    bodies = [message["Body"] for message in received]
    assert bodies != sorted(bodies)
    assert sorted(bodies) == [str(number) for number in range(10)]


def make_queue(aws: LocalAws, name: str) -> str:
    return str(aws.client("sqs").create_queue(QueueName=name)["QueueUrl"])
