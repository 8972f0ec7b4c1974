"""Filters of event source mappings: what matches, and which are refused."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError

from helpers.lambda_functions import Functions, eventually
from localaws import LocalAws

pytestmark = pytest.mark.local

# The pattern, and the ids of the items of which the function gets records.
MATCHES: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a field of an absent one does not exist": ({"userIdentity": {"type": [{"exists": False}]}}, {"a", "b"}),
    "one of two fields": (
        {"$or": [{"eventName": ["REMOVE"]}, {"dynamodb": {"NewImage": {"kind": {"S": ["x"]}}}}]},
        {"a"},
    ),
    "ignoring case": ({"dynamodb": {"NewImage": {"kind": {"S": [{"equals-ignore-case": "Y"}]}}}}, {"b"}),
    "not a prefix": (
        {"dynamodb": {"NewImage": {"kind": {"S": [{"anything-but": {"prefix": "x"}}]}}}},
        {"b"},
    ),
    "a member of a set": ({"dynamodb": {"NewImage": {"tags": {"SS": ["new"]}}}}, {"a"}),
    "an empty pattern": ({}, {"a", "b"}),
}
REFUSED: dict[str, str] = {
    "no list": '{"eventName": "INSERT"}',
    "an empty list": '{"eventName": []}',
    "an operator that does not exist": '{"eventName": [{"begins": "IN"}]}',
    "an operand that the operator does not take": '{"eventName": [{"exists": "no"}]}',
    "a list in a list": '{"eventName": [["INSERT"]]}',
    "no object": '["INSERT"]',
    "no JSON": "eventName = INSERT",
}


def table(aws: LocalAws) -> tuple[str, str]:
    """A table with a stream and two items; returns its name and the ARN of the stream."""
    dynamodb, name = aws.client("dynamodb"), f"table-{uuid.uuid4().hex[:8]}"
    stream = dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
        StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
    )["TableDescription"]["LatestStreamArn"]
    dynamodb.put_item(TableName=name, Item={"id": {"S": "a"}, "kind": {"S": "x"}, "tags": {"SS": ["new"]}})
    dynamodb.put_item(TableName=name, Item={"id": {"S": "b"}, "kind": {"S": "y"}})
    return name, stream


def test_each_filter_passes_what_it_matches(functions: Functions) -> None:
    """One function for each filter; a last item, which all filters pass, says that the others were read."""
    seen = functions.queue()
    source = f"""
import boto3, json, os
def handler(event, context):
    for record in event["Records"]:
        body = json.dumps([os.environ["NAME"], record["dynamodb"]["Keys"]["id"]["S"]])
        boto3.client("sqs").send_message(QueueUrl="{seen.url}", MessageBody=body)
"""
    name, stream = table(functions.aws)
    reading = ("DescribeStream", "GetRecords", "GetShardIterator", "ListStreams")
    role = functions.role(*((f"dynamodb:{one}", "*") for one in reading), ("sqs:SendMessage", "*"))
    last = {"dynamodb": {"Keys": {"id": {"S": ["last"]}}}}
    for test, (pattern, _) in MATCHES.items():
        function = functions.make(source, role=role, Environment={"Variables": {"NAME": test}})
        functions.aws.client("lambda").create_event_source_mapping(
            FunctionName=function,
            EventSourceArn=stream,
            StartingPosition="TRIM_HORIZON",
            FilterCriteria={"Filters": [{"Pattern": json.dumps(one)} for one in (pattern, last)]},
        )
    functions.aws.client("dynamodb").put_item(TableName=name, Item={"id": {"S": "last"}})
    found: dict[str, set[str]] = {test: set() for test in MATCHES}

    def all_read() -> bool:
        for message in seen.receive():
            test, item = json.loads(message["Body"])
            found[test].add(item)
        return all("last" in ids for ids in found.values())

    eventually(all_read)
    assert found == {test: expected | {"last"} for test, (_, expected) in MATCHES.items()}


@pytest.mark.parametrize("pattern", REFUSED.values(), ids=REFUSED)
def test_a_wrong_filter_is_refused(functions: Functions, filtered: tuple[str, str], pattern: str) -> None:
    with pytest.raises(ClientError, match="Invalid filter pattern definition"):
        make_mapping(functions.aws, *filtered, pattern)


def make_mapping(aws: LocalAws, function: str, stream: str, pattern: str) -> None:
    """Make a mapping with one filter."""
    aws.client("lambda").create_event_source_mapping(
        FunctionName=function,
        EventSourceArn=stream,
        StartingPosition="LATEST",
        FilterCriteria={"Filters": [{"Pattern": pattern}]},
    )


def test_the_emulator_still_accepts_any_filter(stock_aws: LocalAws) -> None:
    functions = Functions(stock_aws)
    function = functions.make("def handler(event, context): pass")
    make_mapping(stock_aws, function, table(stock_aws)[1], REFUSED["an operator that does not exist"])


@pytest.fixture(scope="module")
def filtered(local_aws: LocalAws) -> tuple[str, str]:
    """A function, and a stream that it could read."""
    functions = Functions(local_aws)
    return functions.make("def handler(event, context): pass"), table(local_aws)[1]
