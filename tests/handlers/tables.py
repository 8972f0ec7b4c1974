"""Tables for the tests of handlers."""

from __future__ import annotations

from typing import Any


def make_table(dynamodb: Any, name: str, *keys: str) -> Any:
    """Make a table whose keys are strings.

    Args:
        dynamodb: A client or a resource of DynamoDB.
        name: The name of the table.
        *keys: The partition key, and the sort key if it has one.

    Returns:
        What ``create_table`` returns: of a resource, the table.
    """
    return dynamodb.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": key, "KeyType": kind}
            for key, kind in zip(keys, ("HASH", "RANGE"), strict=False)
        ],
        AttributeDefinitions=[{"AttributeName": key, "AttributeType": "S"} for key in keys],
    )
