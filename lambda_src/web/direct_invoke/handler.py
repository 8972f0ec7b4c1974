"""A charge from any caller → booked once in DynamoDB → its id.

Invoke it with ``{"idempotency_key": "…", "account": "…", "cents": 100}``. A repeated request gets the answer
of the first one. A request that can never be booked is a function error, whose type says so.
"""

import logging
import os
import time
from typing import Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from shared.clients import make_clients

    from .charges import Charge, Charges

    (_dynamodb,) = make_clients("dynamodb")

logger = logging.getLogger()
logger.setLevel(logging.INFO)
charges = Charges(_dynamodb, os.environ["TABLE_NAME"])


def handler(event: object, context: Any) -> dict[str, Any]:
    """Book a charge and return it."""
    charge = Charge.parse(event)
    charge_id, new = charges.book(charge, context.aws_request_id)
    logger.info("booked" if new else "booked before", extra={"charge_id": charge_id})
    if new and charge.answer_after:
        time.sleep(charge.answer_after)
    return {"charge_id": charge_id, "account": charge.account, "cents": charge.cents, "new": new}
