"""A task of the workflow → stock in DynamoDB → the confirmed order, which is the output of the workflow.

The workflow invokes it with ``{"order": {…}, "cents": …, "attempt": …}`` and knows its errors by their names.
"""

import logging
import os
from typing import Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from shared.clients import make_clients

    from .stock import Order, Stock

    (_dynamodb,) = make_clients("dynamodb")

logger = logging.getLogger()
logger.setLevel(logging.INFO)
stock = Stock(_dynamodb, os.environ["TABLE_NAME"])


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Reserve the products of an order."""
    order = Order.parse(event["order"])
    stock.reserve(order)
    logger.info("reserved", extra={"order_id": order.order_id, "attempt": event["attempt"]})
    return {
        "order_id": order.order_id,
        "product": order.product,
        "quantity": order.quantity,
        "cents": event["cents"] * order.quantity,
        "attempts": event["attempt"] + 1,
    }
