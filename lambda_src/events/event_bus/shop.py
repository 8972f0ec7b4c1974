"""A request of the shop → the event OrderPlaced for each order, if all of them match its schema."""

import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_clients

    from .orders import PLACED, SCHEMAS, SOURCE
    from .publisher import Event, InvalidEvent, Publisher

    logger = Logger()
    (_events,) = make_clients("events")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

BUS = os.environ["EVENT_BUS_NAME"]


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: "LambdaContext") -> dict[str, int]:
    """Publish ``{"orders": […]}``."""
    if not isinstance(event, dict) or not isinstance(event.get("orders"), list):
        raise InvalidEvent('give a list of orders: {"orders": [{"order_id": "o-1", "quantity": 1}]}')
    publisher = Publisher(_events, BUS, SOURCE, SCHEMAS)
    published = publisher.publish([Event(PLACED, order) for order in event["orders"]])
    logger.info("published", count=len(published))
    return {"published": len(published)}
