"""A small shop: an order from the API goes to a table, a queue and a mailer; stream and queue are read.

Nothing in it knows that it is monitored: Lambda and the other services publish the metrics themselves.
"""

import json
import logging
import os
from typing import Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from shared.clients import make_clients

    dynamodb, sqs, lambda_ = make_clients("dynamodb", "sqs", "lambda")

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def place(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Answer a request of the API: record an order, queue it for shipping, and have it confirmed by mail."""
    try:
        order = json.loads(event.get("body") or "")
        name, mail = str(order["order"]), str(order["mail"])
    except (ValueError, KeyError, TypeError):
        return {"statusCode": 400, "body": '{"error": "an order has the fields order and mail"}'}
    text = json.dumps({"order": name, "mail": mail})
    item = {"order": {"S": name}, "mail": {"S": mail}}
    dynamodb.put_item(TableName=os.environ["ORDERS_TABLE_NAME"], Item=item)
    sqs.send_message(QueueUrl=os.environ["SHIPPING_QUEUE_URL"], MessageBody=text)
    lambda_.invoke(
        FunctionName=os.environ["MAIL_FUNCTION_NAME"], InvocationType="Event", Payload=text.encode()
    )
    return {"statusCode": 201, "body": text}


def ship(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Ship the orders of a batch; report those that cannot be shipped."""
    failed = []
    for record in event["Records"]:
        try:
            logger.info("shipped", extra={"order": json.loads(record["body"])["order"]})
        except (ValueError, KeyError, TypeError):
            logger.exception("not shipped")
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}


def count(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Count the orders of a batch of the table's stream."""
    placed = [record for record in event["Records"] if record["eventName"] == "INSERT"]
    logger.info("counted", extra={"orders": len(placed)})
    return {"batchItemFailures": []}


def mail(event: dict[str, Any], _context: object) -> None:
    """Confirm an order.

    Raises:
        KeyError: It has no address. Lambda retries it, then sends it to the failure queue.
    """
    logger.info("mailed", extra={"order": event["order"], "to": len(event["mail"])})
