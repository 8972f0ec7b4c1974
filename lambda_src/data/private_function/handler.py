"""An order comes in, is kept in DynamoDB once, and is told to a queue: from a network without a way out.

Every call leaves the network through the endpoint of its service; anywhere else leads nowhere.
"""

import json
import os
from typing import Any

import boto3
from botocore.config import Config
from orders import parse

_TABLE = os.environ["TABLE_NAME"]
_QUEUE = os.environ["QUEUE_URL"]

# Where an endpoint is missing, a call would hang: the addresses of the service are public, and no route leads
# there. So connecting ends soon, and the error names the service.
_CONFIG = Config(connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
_dynamodb = boto3.client("dynamodb", config=_CONFIG)
_sqs = boto3.client("sqs", config=_CONFIG)


def handler(event: object, _context: object) -> dict[str, Any]:
    """Keep an order, and tell about it.

    Sending comes after keeping and is repeated with the order, so whoever reads the queue may be told twice
    and is never told nothing.
    """
    order = parse(event)
    try:
        _dynamodb.put_item(
            TableName=_TABLE,
            Item={"order_id": {"S": order.order_id}, "item": {"S": order.item}},
            ConditionExpression="attribute_not_exists(order_id)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        known, item = False, order.item
    except _dynamodb.exceptions.ConditionalCheckFailedException as error:
        known, item = True, error.response["Item"]["item"]["S"]  # what was ordered first is what is told
    body = json.dumps({"order_id": order.order_id, "item": item})
    message = _sqs.send_message(QueueUrl=_QUEUE, MessageBody=body)
    return {"order_id": order.order_id, "known": known, "message_id": message["MessageId"]}
