"""Invocation → order in DynamoDB, stored once → message in SQS, from a network without internet access.

Each call leaves the network through the VPC endpoint of its service. No other host can be reached.
"""

import json
import os
from typing import Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    import boto3
    from botocore.config import Config

    from .orders import parse

    # Without an endpoint a call would hang: the service's addresses are public, and no route leads to them.
    # With these timeouts connecting fails soon, and the error names the service.
    _CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
    dynamodb = boto3.client("dynamodb", config=_CONFIG)
    sqs = boto3.client("sqs", config=_CONFIG)

_TABLE = os.environ["TABLE_NAME"]
_QUEUE = os.environ["QUEUE_URL"]


def handler(event: object, _context: object) -> dict[str, Any]:
    """Store an order, then send it to the queue.

    A repeated order is sent to the queue again, as it was stored first. So a consumer may receive an order
    twice, and never misses one.
    """
    order = parse(event)
    try:
        dynamodb.put_item(
            TableName=_TABLE,
            Item={"order_id": {"S": order.order_id}, "item": {"S": order.item}},
            ConditionExpression="attribute_not_exists(order_id)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        known, item = False, order.item
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        known, item = True, error.response["Item"]["item"]["S"]
    body = json.dumps({"order_id": order.order_id, "item": item})
    message = sqs.send_message(QueueUrl=_QUEUE, MessageBody=body)
    return {"order_id": order.order_id, "known": known, "message_id": message["MessageId"]}
