"""Request of a REST API → order → message in a queue.

The message carries the trace on: boto3 sends the header of the invocation with every call from a function,
and SQS keeps it with the message.
"""

import json
import logging
import os
import uuid
from typing import Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from shared.clients import make_quick_client

    from .telemetry import annotate, make_tracer, of_invocation

    tracer = make_tracer()
    sqs = make_quick_client("sqs")

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Place an order; `GET /health` places none."""
    if event["httpMethod"] == "GET":
        return _response(200, {"status": "ok"})
    with tracer.start_as_current_span("place order", context=of_invocation()) as span:
        try:
            order = {"order_id": uuid.uuid4().hex, **_parse(event.get("body"))}
        except ValueError as error:
            annotate(span, refused=True)
            return _response(400, {"message": str(error)})
        annotate(span, **order)
        sqs.send_message(QueueUrl=os.environ["QUEUE_URL"], MessageBody=json.dumps(order))
    logger.info("placed", extra={"order_id": order["order_id"]})
    return _response(202, order)


def _parse(body: str | None) -> dict[str, Any]:
    """The product and the quantity of an order.

    Raises:
        ValueError: It is no order.
    """
    given = json.loads(body or "{}")
    product, quantity = (given.get("product"), given.get("quantity")) if isinstance(given, dict) else (0, 0)
    if not isinstance(product, str) or not 1 <= len(product) <= 100:
        raise ValueError("product must have 1 to 100 characters")
    if type(quantity) is not int or not 1 <= quantity <= 1_000:
        raise ValueError("quantity must be a whole number from 1 to 1,000")
    return {"product": product, "quantity": quantity}


def _response(status: int, body: object) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"Content-Type": "application/json"},
        "body": json.dumps(body),
    }
