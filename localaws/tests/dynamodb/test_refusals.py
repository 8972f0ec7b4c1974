"""Tables, items and expressions that DynamoDB refuses."""

from __future__ import annotations

from typing import Any

import pytest

from helpers.refusals import Row, check, client, ids
from localaws import LocalAws

pytestmark = pytest.mark.local

INVALID = "ValidationException"
KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}
ONE = {":a": {"S": "a"}}
READS = {"ReadCapacityUnits": 1, "WriteCapacityUnits": 1}


def keys(*names: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": name, "KeyType": kind} for name, kind in zip(names, ("HASH", "RANGE"), strict=False)
    ]


def table(**changes: Any) -> dict[str, Any]:
    attributes = [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")]
    given = {"TableName": "new", "KeySchema": keys("pk", "sk"), "BillingMode": "PAY_PER_REQUEST"}
    filled = {**given, "AttributeDefinitions": attributes, **changes}
    return {name: value for name, value in filled.items() if value is not None}


def index(name: str = "index", projection: Any = None, **changes: Any) -> dict[str, Any]:
    projection = {"ProjectionType": "ALL"} if projection is None else projection
    return {"IndexName": name, "KeySchema": keys("pk", "sk"), "Projection": projection, **changes}


def many(count: int) -> list[dict[str, Any]]:
    return [index(f"index{number}") for number in range(count)]


def stream(name: str, enabled: bool, view: str | None = None) -> dict[str, Any]:
    specification = {"StreamEnabled": enabled, **({"StreamViewType": view} if view else {})}
    return {"TableName": name, "StreamSpecification": specification}


def put(**attributes: Any) -> dict[str, Any]:
    return {"TableName": "held", "Item": {**KEY, **attributes}}


def update(expression: str, **changes: Any) -> dict[str, Any]:
    values = {"ExpressionAttributeValues": ONE} if ":a" in expression else {}
    return {"TableName": "held", "Key": KEY, "UpdateExpression": expression, **values, **changes}


def query(condition: str, **changes: Any) -> dict[str, Any]:
    return {
        "TableName": "held",
        "KeyConditionExpression": condition,
        "ExpressionAttributeValues": ONE,
        **changes,
    }


REFUSED: list[Row] = [
    ("create_table", table(TableName="ab"), INVALID, "greater than or equal to 3"),
    ("create_table", table(KeySchema=keys("pk")), INVALID, ""),
    ("create_table", table(KeySchema=keys("pk", "other")), INVALID, ""),
    ("create_table", table(ProvisionedThroughput=READS), INVALID, "PAY_PER_REQUEST"),
    ("create_table", table(BillingMode="PROVISIONED"), INVALID, ""),
    ("create_table", table(GlobalSecondaryIndexes=[]), INVALID, "List of GlobalSecondaryIndexes is empty"),
    ("create_table", table(GlobalSecondaryIndexes=many(21)), INVALID, "exceeds the per-table limit of 20"),
    ("create_table", table(LocalSecondaryIndexes=many(6)), INVALID, "exceeds the per-table limit of 5"),
    (
        "create_table",
        table(GlobalSecondaryIndexes=[index(ProvisionedThroughput=READS)]),
        INVALID,
        "ProvisionedThroughput should not be specified for index: index",
    ),
    (
        "create_table",
        table(BillingMode=None, ProvisionedThroughput=READS, GlobalSecondaryIndexes=[index()]),
        INVALID,
        "ProvisionedThroughput must be specified for index: index",
    ),
    (
        "create_table",
        table(GlobalSecondaryIndexes=[index(projection={})]),
        INVALID,
        "Unknown ProjectionType: null",
    ),
    (
        "create_table",
        table(
            GlobalSecondaryIndexes=[index(projection={"ProjectionType": "ALL", "NonKeyAttributes": ["a"]})]
        ),
        INVALID,
        "ProjectionType is ALL, but NonKeyAttributes is specified",
    ),
    ("create_table", table(StreamSpecification={"StreamEnabled": True}), INVALID, "StreamViewType"),
    ("update_table", stream("streamed", True, "KEYS_ONLY"), INVALID, "Table already has an enabled stream"),
    ("update_table", stream("held", True), INVALID, "StreamViewType must be specified"),
    ("update_table", stream("held", False), INVALID, "no stream that could be disabled"),
    ("update_table", stream("streamed", False, "NEW_IMAGE"), INVALID, "must not be specified"),
    ("create_table", table(Tags=[{"Key": f"k{n}", "Value": ""} for n in range(51)]), INVALID, "50"),
    ("put_item", put(x={"S": "x" * 409_600}), INVALID, "Item size has exceeded the maximum allowed size"),
    ("put_item", put(pk={"S": ""}), INVALID, "empty string value"),
    ("put_item", put(pk={"S": "x" * 2049}), INVALID, "2048"),
    ("put_item", put(sk={"S": "x" * 1025}), INVALID, "1024"),
    ("put_item", put(n={"N": "1" * 39}), INVALID, "38"),
    (
        "put_item",
        {**put(), "ConditionExpression": "attribute_exists(pk)", "ExpressionAttributeNames": {"#a": "a"}},
        INVALID,
        "unused in expressions: keys: {#a}",
    ),
    (
        "put_item",
        {**put(), "ConditionExpression": "attribute_exists(name)"},
        INVALID,
        "reserved keyword: name",
    ),
    ("update_item", update("SET a = :a, a = :a"), INVALID, "path one: [a], path two: [a]"),
    ("update_item", update("SET #a = :a REMOVE a", ExpressionAttributeNames={"#a": "a"}), INVALID, "overlap"),
    ("update_item", update("SET a = :a SET b = :a"), INVALID, 'The "SET" section can only be used once'),
    ("update_item", update("SET a"), INVALID, "Syntax error"),
    ("query", query("pk = :a OR sk = :a"), INVALID, "Invalid operator used in KeyConditionExpression: OR"),
    ("query", query("pk = :a AND sk <> :a"), INVALID, "Invalid operator used in KeyConditionExpression: <>"),
    (
        "query",
        query("pk = :a AND contains(sk, :a)"),
        INVALID,
        "Invalid operator used in KeyConditionExpression",
    ),
    ("query", query("pk = :a", FilterExpression="sk = :a"), INVALID, "Primary key attribute: sk"),
    (
        "transact_write_items",
        {"TransactItems": [{"Put": put(), "Delete": {"TableName": "held", "Key": KEY}}]},
        INVALID,
        "can only contain one of Check, Put, Update or Delete",
    ),
    (
        "transact_write_items",
        {"TransactItems": [{"Put": put()}, {"Delete": {"TableName": "held", "Key": KEY}}]},
        INVALID,
        "multiple operations on one item",
    ),
    (
        "batch_write_item",
        {"RequestItems": {"held": [{"PutRequest": {"Item": KEY}, "DeleteRequest": {"Key": KEY}}]}},
        INVALID,
        "PutRequest, DeleteRequest",
    ),
]


@pytest.fixture(scope="module")
def aws(local_aws: LocalAws) -> LocalAws:
    """An account with a table, and one with a stream."""
    local_aws.client("dynamodb").create_table(**table(TableName="held"))
    local_aws.client("dynamodb").create_table(**table(**stream("streamed", True, "NEW_IMAGE")))
    return local_aws


@pytest.mark.parametrize("row", REFUSED, ids=ids(REFUSED))
def test_a_request_is_refused(aws: LocalAws, row: Row) -> None:
    check(aws, "dynamodb", row)


def test_what_dynamodb_allows_is_accepted(aws: LocalAws) -> None:
    dynamodb = client(aws, "dynamodb")
    dynamodb.update_item(**update("SET a = if_not_exists(a, :a), settings = :a REMOVE offset1, deleted"))
    dynamodb.update_item(**update("REMOVE a SET b = :a"))
    names = {"#k": "pk", "#f": "a"}
    condition = "#k = :a AND begins_with(sk, :a)"
    dynamodb.query(**query(condition, ExpressionAttributeNames=names, FilterExpression="contains(#f, :a)"))
    dynamodb.query(
        **query("pk = :a AND sk BETWEEN :a AND :pk")
        | {
            "ExpressionAttributeValues": {**ONE, ":pk": {"S": "z"}},
            "FilterExpression": "b = :pk",
        }
    )
    dynamodb.update_table(**stream("streamed", False))
    dynamodb.update_table(**stream("streamed", True, "KEYS_ONLY"))
    dynamodb.create_table(
        **table(TableName="full", GlobalSecondaryIndexes=many(20), LocalSecondaryIndexes=[index("local")])
    )
