"""Invocation by the database → row in DynamoDB, once for each order.

It may get an order twice, or one whose transaction was rolled back: an invocation is not part of it.
"""

import os
from typing import Any

import boto3
from botocore.exceptions import ClientError

table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])


def handler(order: dict[str, Any], context: object) -> dict[str, bool]:
    """Record an order."""
    item = {"order_id": order["order_id"], "item": order["item"], "notify": order["notify"]}
    try:
        table.put_item(Item=item, ConditionExpression="attribute_not_exists(order_id)")
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
        return {"duplicate": True}
    return {"duplicate": False}
