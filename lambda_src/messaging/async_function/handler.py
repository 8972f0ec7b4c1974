"""An order → its parcel; what this returns or raises → the destination for success or failure.

Lambda delivers an event at least once, and again after an error, a crash or a timeout. Two things make that
harmless. Powertools stores the result of each order: a duplicate gets the same result without any work, and
while one invocation works, another one for the same order fails and is retried later. But after a crash
between the work and the result, nothing says whether the work was done. So the work itself is idempotent,
too: done again, it finds the parcel.
"""

import os
import time
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger
    from aws_lambda_powertools.utilities.idempotency import (
        DynamoDBPersistenceLayer,
        IdempotencyConfig,
        idempotent,
    )

    from shared.clients import make_clients

    from .shipments import Order, Shipments, order_id_of

    logger = Logger()
    (_dynamodb,) = make_clients("dynamodb")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

shipments = Shipments(_dynamodb, os.environ["TABLE_NAME"])
results = DynamoDBPersistenceLayer(os.environ["IDEMPOTENCY_TABLE_NAME"], boto3_client=_dynamodb)
idempotency = IdempotencyConfig(
    event_key_jmespath="order_id",
    payload_validation_jmespath="quantity",  # the same order with another quantity is an error
    raise_on_no_idempotency_key=True,
    expires_after_seconds=int(os.environ["IDEMPOTENCY_EXPIRES_AFTER"]),
    hash_function="sha256",
)


@idempotent(config=idempotency, persistence_store=results)
def ship(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Ship an order, unless there is a result; the request id becomes the number of a new parcel."""
    order = Order.parse(event)
    parcel, new = shipments.ship(order, context.aws_request_id)
    if new:
        time.sleep(order.pause)
    return {"order_id": order.order_id, "parcel": parcel}


@logger.inject_lambda_context
def handler(event: Any, context: "LambdaContext") -> dict[str, Any]:
    """Ship an order and return its parcel. All attempts of an event log the same request id."""
    try:
        order_id_of(event)  # without one, Powertools would say in its own words that its key is missing
        result: dict[str, Any] = ship(event, context)
    except Exception as reason:
        logger.warning("not shipped", error_type=type(reason).__name__)
        raise
    logger.info("shipped")
    return result
