"""An order that was placed → an invoice or a mail, once, however often its event is delivered or replayed.

EventBridge and Lambda deliver at least once, and a replay delivers again on purpose. The order's id makes
that harmless. A consumer that must not act on old events, such as one that sends mails, recognises them by
`replay-name`, which only replayed events have.
"""

import os
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_clients

    from .orders import Effects, InvalidOrder, Order

    logger = Logger()
    (_dynamodb,) = make_clients("dynamodb")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

effects = Effects(_dynamodb, os.environ["TABLE_NAME"], os.environ["CONSUMER"])
SKIPS_REPLAYS = os.environ.get("REPLAYS") == "skip"


@logger.inject_lambda_context
def handler(event: Any, _context: "LambdaContext") -> dict[str, str]:
    """Act on a whole event, or on ``{"order": …}``, which the rule has made of it."""
    if not isinstance(event, dict):
        raise InvalidOrder("the event must be an object")
    order = Order.parse(event["order"] if "order" in event else event.get("detail"))
    replay = event.get("replay-name", "")
    outcome = _act_on(order, is_replayed=bool(replay))
    logger.info("handled", order_id=order.order_id, outcome=outcome, replay=replay)
    return {"order_id": order.order_id, "outcome": outcome}


def _act_on(order: Order, *, is_replayed: bool) -> str:
    if is_replayed and SKIPS_REPLAYS:
        return "skipped"
    return "done" if effects.record(order) else "duplicate"
