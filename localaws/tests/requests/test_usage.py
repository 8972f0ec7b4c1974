"""`LocalAws.usage()`: what AWS would bill of requests, in its units."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws, wait_until
from localaws.services.requests.usage import billed_task, units
from localaws.usage import Amounts, Usage

READS, WRITES = "DynamoDB read request units", "DynamoDB write request units"
GETS, PUTS = "S3 GET requests", "S3 PUT requests"
KEY = {"id": {"S": "a"}}


def item(size: int) -> dict[str, Any]:
    return {**KEY, "v": {"S": "x" * (size - 4)}}


def used(aws: LocalAws, call: Callable[[], object]) -> dict[str, float]:
    """What a call has used."""

    def amounts() -> Counter[str]:
        found: Counter[str] = Counter()
        for one in aws.usage():
            found[one.unit] += one.amount  # type: ignore[assignment]  # some are fractions
        return found

    before = amounts()
    with contextlib.suppress(ClientError):
        call()
    return dict(amounts() - before)


@pytest.fixture(scope="module")
def table(local_aws: LocalAws) -> Any:
    """A table with an index on `kind`, as a resource of boto3's client."""
    client = local_aws.client("dynamodb")
    client.create_table(
        TableName="billed",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("id", "kind")],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "kinds",
                "KeySchema": [{"AttributeName": "kind", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
    )
    return client


@pytest.mark.local
@pytest.mark.parametrize(
    ("operation", "arguments", "expected"),
    [
        ("put_item", {"Item": item(1024)}, {WRITES: 1}),
        ("put_item", {"Item": item(1025)}, {WRITES: 2}),
        ("put_item", {"Item": {**KEY, "kind": {"S": "k"}}}, {WRITES: 3}),  # replaces 2 KB, and the index
        ("get_item", {"Key": KEY}, {READS: 0.5}),
        ("get_item", {"Key": KEY, "ConsistentRead": True}, {READS: 1}),
        ("get_item", {"Key": {"id": {"S": "none"}}, "ConsistentRead": True}, {READS: 1}),
        (
            "put_item",
            {"Item": item(5), "ConditionExpression": "attribute_not_exists(id)"},
            {WRITES: 1},  # a condition that is not met is billed
        ),
    ],
    ids=["1 KB", "more than 1 KB", "with an index", "eventual", "consistent", "of nothing", "refused"],
)
def test_the_request_units_of_a_table(
    local_aws: LocalAws, table: Any, operation: str, arguments: dict[str, Any], expected: dict[str, float]
) -> None:
    seen = used(local_aws, lambda: getattr(table, operation)(TableName="billed", **arguments))
    assert seen == expected


@pytest.mark.local
def test_the_consumed_capacity_is_only_shown_to_callers_that_ask_for_it(table: Any) -> None:
    answers = [
        table.get_item(TableName="billed", Key=KEY, **more)
        for more in ({}, {"ReturnConsumedCapacity": "TOTAL"})
    ]
    assert ["ConsumedCapacity" in one for one in answers] == [False, True]


@pytest.mark.local
def test_the_two_classes_of_requests_to_s3(local_aws: LocalAws) -> None:
    s3 = local_aws.client("s3")
    s3.create_bucket(Bucket="billed")
    assert used(local_aws, lambda: s3.put_object(Bucket="billed", Key="a", Body=b"")) == {PUTS: 1}
    assert used(local_aws, lambda: s3.list_objects_v2(Bucket="billed")) == {PUTS: 1}
    assert used(local_aws, lambda: s3.get_object(Bucket="billed", Key="a")) == {GETS: 1}
    assert used(local_aws, lambda: s3.head_object(Bucket="billed", Key="a")) == {GETS: 1}
    assert used(local_aws, lambda: s3.delete_object(Bucket="billed", Key="a")) == {}
    keys = {"Objects": [{"Key": "a"}]}
    assert used(local_aws, lambda: s3.delete_objects(Bucket="billed", Delete=keys)) == {}


def of_json(target: str, body: object) -> dict[str, float]:
    """The units of a request with a JSON body to the service in a target."""
    service, _, operation = target.partition(".")
    return dict(Counter(dict(units(service, operation, "/", {}, json.dumps(body).encode(), {}))))


@pytest.mark.parametrize(
    ("target", "body", "expected"),
    [
        ("sqs.SendMessage", {"QueueUrl": "https://q/1/a", "MessageBody": "b"}, {"SQS requests": 1}),
        ("sqs.ReceiveMessage", {"QueueUrl": "https://q/1/a.fifo"}, {"SQS FIFO requests": 1}),
        ("sqs.SendMessage", {"QueueUrl": "a", "MessageBody": "b" * 65_536}, {"SQS requests": 2}),
        ("events.PutEvents", {"Entries": [{"Detail": "{}"}]}, {"EventBridge events": 1}),
        ("kinesis.PutRecord", {"Data": "QUJD" * 342, "PartitionKey": "k"}, {"Kinesis KB": 2}),
        ("firehose.PutRecord", {"Record": {"Data": "QUJD"}}, {"Firehose units of 5 KB": 1}),
        ("logs.PutLogEvents", {"logEvents": [{"message": "ab"}]}, {"CloudWatch Logs bytes": 28}),
        ("secretsmanager.GetSecretValue", {}, {"Secrets Manager requests": 1}),
        ("lambda.Invoke", {}, {}),
    ],
)
def test_the_units_of_other_services(target: str, body: object, expected: dict[str, float]) -> None:
    assert of_json(target, body) == expected


def test_sessions_of_a_role_count_together() -> None:
    amounts = Amounts()
    for session in ("one", "two"):
        amounts.add(f"arn:aws:sts::1:assumed-role/Orders/{session}", WRITES, 1, "PutItem")
    assert amounts.all() == [Usage("arn:aws:sts::1:assumed-role/Orders", "PutItem", WRITES, 2)]


def test_a_task_of_a_workflow_costs_what_its_request_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localaws.services.requests.usage.amounts", found := Amounts())
    send = billed_task(lambda _, given: given)
    message = {"QueueUrl": "https://q/1/a.fifo", "MessageBody": "b"}
    assert send("arn:aws:states:::sqs:sendMessage.waitForTaskToken", message) == message
    put = billed_task(lambda _, given: {"ConsumedCapacity": {"CapacityUnits": 2.0}, "asked": [*given]})
    answer = put("arn:aws:states:::dynamodb:putItem", {"Item": {}})
    assert answer == {"asked": ["Item", "ReturnConsumedCapacity"]}
    assert found.all() == [Usage("", "", "SQS FIFO requests", 1), Usage("", "", WRITES, 2)]


@pytest.mark.local
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("STANDARD", {"Step Functions state transitions": 2}),
        ("EXPRESS", {"Step Functions Express requests": 1}),
    ],
)
def test_a_standard_workflow_costs_by_step_and_an_express_workflow_by_execution(
    local_aws: LocalAws, kind: str, expected: dict[str, float]
) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "states.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = local_aws.client("iam").create_role(
        RoleName=f"billed-{kind}",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}),
    )["Role"]["Arn"]
    workflows = local_aws.client("stepfunctions")
    steps = {"One": {"Type": "Pass", "Next": "Two"}, "Two": {"Type": "Pass", "End": True}}
    machine = workflows.create_state_machine(
        name=f"billed-{kind}",
        type=kind,
        roleArn=role,
        definition=json.dumps({"StartAt": "One", "States": steps}),
    )["stateMachineArn"]

    def run() -> None:
        if kind == "EXPRESS":
            local_aws.client("stepfunctions").start_sync_execution(stateMachineArn=machine)
            return
        arn = workflows.start_execution(stateMachineArn=machine)["executionArn"]
        wait_until(lambda: workflows.describe_execution(executionArn=arn)["status"] == "SUCCEEDED")

    assert used(local_aws, run) == expected
