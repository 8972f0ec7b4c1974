"""Events of orders, and what follows from them: plain Python that knows no AWS."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

PLACED, PAID, SHIPPED, REFUNDED, NOTED = (
    "OrderPlaced",
    "OrderPaid",
    "OrderShipped",
    "OrderRefunded",
    "OrderNoted",
)
_STATUS = {PLACED: "placed", PAID: "paid", SHIPPED: "shipped", REFUNDED: "refunded"}
_REVENUE = {PAID: 1, REFUNDED: -1}


class NotAnEvent(ValueError):
    """The message is no event of an order; the text says why."""


@dataclass(frozen=True)
class OrderEvent:
    """Something that happened to an order.

    Args:
        event_id: Its own name, the same each time it is sent.
        order_id: The order: the message group.
        version: 1 for the first event of the order, and one more for each.
        type: What happened.
        day: When, ``YYYY-MM-DD``.
        cents: The amount that was paid or refunded; else 0.
    """

    event_id: str
    order_id: str
    version: int
    type: str
    day: str
    cents: int = 0

    @classmethod
    def parse(cls, body: str) -> "OrderEvent":
        """Read the body of a message.

        Raises:
            NotAnEvent: It is none.
        """
        try:
            event = cls(**json.loads(body))
            date.fromisoformat(event.day)
        except (TypeError, ValueError) as error:
            raise NotAnEvent(f"the body is no event: {error}") from None
        texts = (event.event_id, event.order_id)
        if not all(isinstance(text, str) and 0 < len(text) <= 100 for text in texts):
            raise NotAnEvent("event_id and order_id must be texts of 1 to 100 characters")
        if event.type not in (*_STATUS, NOTED):
            raise NotAnEvent("type is none of the known ones")
        numbers = ((event.version, 1, 10**6), (event.cents, 0, 10**12))
        if not all(type(number) is int and low <= number <= high for number, low, high in numbers):
            raise NotAnEvent("version or cents is out of range")
        return event

    def to_dict(self) -> dict[str, Any]:
        """The event as JSON has it."""
        return asdict(self)

    @property
    def revenue(self) -> int:
        """What the event adds to the revenue of its day."""
        return _REVENUE.get(self.type, 0) * self.cents


@dataclass(frozen=True)
class OrderStatus:
    """The read model of one order: its status as of a version."""

    status: str = "unknown"
    version: int = 0

    def after(self, event: OrderEvent) -> "OrderStatus":
        """The status after one more event."""
        return OrderStatus(_STATUS.get(event.type, self.status), event.version)


def status_of(events: Iterable[OrderEvent]) -> OrderStatus:
    """The status that the events of one order make, in the order of their versions."""
    status = OrderStatus()
    for event in sorted(events, key=lambda event: event.version):
        if event.type in _STATUS:
            status = status.after(event)
    return status
