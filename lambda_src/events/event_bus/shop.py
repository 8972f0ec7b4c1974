"""A request of the shop → the event OrderPlaced for each order, if all of them match its schema."""

import os
from collections.abc import Mapping, Sequence
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


class Refusing:
    """For demonstrations: a client whose first request fails for the first of its entries.

    Args:
        client: The client that sends the others.
        count: How many entries it refuses.
    """

    def __init__(self, client: Any, count: int) -> None:
        self._client = client
        self._count = count

    def put_events(self, *, Entries: Sequence[Mapping[str, str]]) -> dict[str, Any]:  # noqa: N803
        """Answer as EventBridge does when it throttles some entries of a request."""
        count, self._count = min(self._count, len(Entries)), 0
        refused = [{"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}] * count
        sent = self._client.put_events(Entries=Entries[count:]) if Entries[count:] else {"Entries": []}
        return {"Entries": [*refused, *sent["Entries"]]}


@logger.inject_lambda_context
def handler(event: dict[str, Any], _context: "LambdaContext") -> dict[str, int]:
    """Publish ``{"orders": […]}``."""
    if not isinstance(event, dict) or not isinstance(event.get("orders"), list):
        raise InvalidEvent('give a list of orders: {"orders": [{"order_id": "o-1", "quantity": 1}]}')
    client = Refusing(_events, int(event["refuse"])) if "refuse" in event else _events
    publisher = Publisher(client, BUS, SOURCE, SCHEMAS)
    published = publisher.publish([Event(PLACED, order) for order in event["orders"]])
    logger.info("published", count=len(published))
    return {"published": len(published)}
