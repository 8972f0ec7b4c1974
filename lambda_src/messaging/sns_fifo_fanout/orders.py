"""Events of an order, and the status that follows from them: plain Python without AWS."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.storable import NotStorable, check_text, load_json

_STATUS = {
    "OrderPlaced": "placed",
    "OrderPaid": "paid",
    "OrderShipped": "shipped",
    "OrderRefunded": "refunded",
}
_TYPES = (*_STATUS, "OrderNoted")


class NotAnEvent(ValueError):
    """The message is not an event of an order; the text gives the reason."""


@dataclass(frozen=True)
class OrderEvent:
    """Something that happened to an order.

    Args:
        event_id: The sender's id of the event, the same each time it is sent.
        order_id: The order; messages are grouped by it.
        version: 1 for the first event of the order, 2 for the second, and so on.
        type: What happened.
    """

    event_id: str
    order_id: str
    version: int
    type: str

    @classmethod
    def parse(cls, body: str) -> "OrderEvent":
        """Read the body of a message.

        Raises:
            NotAnEvent: It is not an event; the text gives the reason.
        """
        try:
            event = cls(**load_json(body))
            for name in ("event_id", "order_id"):
                check_text(name, getattr(event, name), max_characters=100, max_bytes=400)
        except (TypeError, NotStorable) as error:
            raise NotAnEvent(f"the body is not an event: {error}") from None
        if type(event.version) is not int or not 1 <= event.version <= 10**6:
            raise NotAnEvent("version must be a whole number of 1 to 1,000,000")
        if not isinstance(event.type, str) or event.type not in _TYPES:
            raise NotAnEvent(f"type must be one of {', '.join(_TYPES)}")
        return event


@dataclass(frozen=True)
class OrderStatus:
    """The read model of one order: its status as of a version."""

    status: str = "unknown"
    version: int = 0


def status_of(events: Iterable[OrderEvent]) -> OrderStatus:
    """Return the status that follows from all events of an order, in any order. Notes do not count."""
    status = OrderStatus()
    for event in sorted(events, key=lambda event: event.version):
        if event.type in _STATUS:
            status = OrderStatus(_STATUS[event.type], event.version)
    return status
