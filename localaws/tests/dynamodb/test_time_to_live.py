"""Items past their time to live are deleted, and the stream says who did it."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from helpers.lambda_functions import Functions, eventually
from localaws import LocalAws

pytestmark = pytest.mark.local

FIVE_YEARS = 5 * 366 * 86_400


def table_with_stream(aws: LocalAws) -> tuple[str, str]:
    """The name of a new table with time to live, and the ARN of its stream."""
    dynamodb, name = aws.client("dynamodb"), f"table-{uuid.uuid4().hex[:8]}"
    dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "OLD_IMAGE"},
    )
    dynamodb.update_time_to_live(
        TableName=name, TimeToLiveSpecification={"AttributeName": "expires", "Enabled": True}
    )
    return name, dynamodb.describe_table(TableName=name)["Table"]["LatestStreamArn"]


def removals(aws: LocalAws, stream: str) -> list[dict[str, Any]]:
    """The records of removed items."""
    streams = aws.client("dynamodbstreams")
    (shard,) = streams.describe_stream(StreamArn=stream)["StreamDescription"]["Shards"]
    at = streams.get_shard_iterator(
        StreamArn=stream, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    records: list[dict[str, Any]] = streams.get_records(ShardIterator=at)["Records"]
    return [record for record in records if record["eventName"] == "REMOVE"]


def test_only_items_with_a_time_of_the_last_years_expire(local_aws: LocalAws) -> None:
    dynamodb, now = local_aws.client("dynamodb"), int(time.time())
    name, stream = table_with_stream(local_aws)
    values: dict[str, dict[str, str]] = {
        "expired": {"N": str(now - 5)},
        "later": {"N": str(now + 3600)},
        "text": {"S": str(now - 5)},
        "ancient": {"N": str(now - FIVE_YEARS)},
        "milliseconds": {"N": f"{now}000"},
    }
    for key, value in values.items():
        dynamodb.put_item(TableName=name, Item={"id": {"S": key}, "expires": value})
    dynamodb.put_item(TableName=name, Item={"id": {"S": "never"}})
    dynamodb.put_item(TableName=name, Item={"id": {"S": "by hand"}})
    dynamodb.delete_item(TableName=name, Key={"id": {"S": "by hand"}})
    found = eventually(lambda: removals(local_aws, stream)[1:] and removals(local_aws, stream))
    by_hand, expired = sorted(found, key=lambda record: str(record["dynamodb"]["Keys"]["id"]["S"]))
    left = {item["id"]["S"] for item in dynamodb.scan(TableName=name)["Items"]}
    assert left == {"later", "text", "ancient", "milliseconds", "never"}
    assert "userIdentity" not in by_hand
    assert expired["userIdentity"] == {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
    assert expired["dynamodb"]["OldImage"] == {"id": {"S": "expired"}, "expires": values["expired"]}
    assert len(expired["eventID"]) == 32
    assert expired["dynamodb"]["SizeBytes"] == 2 * len("idexpired") + len("expires") + 6


def test_a_function_sees_who_deleted_the_item(functions: Functions) -> None:
    aws, dynamodb = functions.aws, functions.aws.client("dynamodb")
    name, stream = table_with_stream(aws)
    answers = functions.queue()
    source = f"""
import boto3, json
def handler(event, context):
    for record in event["Records"]:
        boto3.client("sqs").send_message(QueueUrl="{answers.url}", MessageBody=json.dumps(record))
"""
    role = functions.role(("dynamodb:*", "*"), ("sqs:SendMessage", answers.arn))
    function = functions.make(source, role=role)
    removed = {"Filters": [{"Pattern": '{"userIdentity": {"principalId": ["dynamodb.amazonaws.com"]}}'}]}
    aws.client("lambda").create_event_source_mapping(
        FunctionName=function, EventSourceArn=stream, StartingPosition="TRIM_HORIZON", FilterCriteria=removed
    )
    item = {"id": {"S": "a"}, "expires": {"N": str(int(time.time()) - 5)}}
    dynamodb.put_item(TableName=name, Item=item)
    record = answers.wait_for_body()
    assert record["eventName"] == "REMOVE"
    assert record["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
