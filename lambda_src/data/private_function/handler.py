"""Invocation → price from another function → order in DynamoDB, stored once → message in SQS.

Each call leaves the network, which has no internet access, through the VPC endpoint of its service: also the
invocation of the other function, which calls Lambda. No other host can be reached.
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
    lambda_ = boto3.client("lambda", config=_CONFIG)
    sqs = boto3.client("sqs", config=_CONFIG)

_TABLE = os.environ["TABLE_NAME"]
_QUEUE = os.environ["QUEUE_URL"]
_PRICES = os.environ["PRICES_FUNCTION"]


class PriceUnavailable(Exception):
    """The function that knows the prices failed; the message has its reason."""


def handler(event: object, _context: object) -> dict[str, Any]:
    """Store an order, then send it to the queue.

    A repeated order is sent to the queue again, as it was stored first. So a consumer may receive an order
    twice, and never misses one.
    """
    order = parse(event)
    cents = _price(order.item)
    try:
        dynamodb.put_item(
            TableName=_TABLE,
            Item={"order_id": {"S": order.order_id}, "item": {"S": order.item}, "cents": {"N": str(cents)}},
            ConditionExpression="attribute_not_exists(order_id)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        known, item = False, order.item
    except dynamodb.exceptions.ConditionalCheckFailedException as error:
        stored = error.response["Item"]
        known, item, cents = True, stored["item"]["S"], int(stored["cents"]["N"])
    body = json.dumps({"order_id": order.order_id, "item": item, "cents": cents})
    message = sqs.send_message(QueueUrl=_QUEUE, MessageBody=body)
    return {"order_id": order.order_id, "known": known, "message_id": message["MessageId"]}


def _price(item: str) -> int:
    response = lambda_.invoke(FunctionName=_PRICES, Payload=json.dumps({"item": item}))
    answer = json.loads(response["Payload"].read())
    if "FunctionError" in response:
        raise PriceUnavailable(f"{answer.get('errorType')}: {answer.get('errorMessage')}")
    return int(answer["cents"])
