"""An order → a line in the log for each of its items. The extension that ships them is not its business.

Invoke the function with ``{"order_id": "o-1", "items": 3}``.
"""

import logging
from typing import Any

logger = logging.getLogger()
logger.setLevel(logging.INFO)

_MOST = 20_000


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Log the items, and return how many there are.

    Raises:
        ValueError: The order has no number of items, or too many.
    """
    items = event.get("items") if isinstance(event, dict) else None
    if isinstance(items, bool) or not isinstance(items, int) or not 0 <= items <= _MOST:
        raise ValueError(f"items: give a whole number from 0 to {_MOST:,}.")
    for number in range(items):
        logger.info("picked", extra={"order_id": event.get("order_id"), "item": number})
    return {"order_id": event.get("order_id"), "items": items}
