"""Orders: what one is, and how it is read from an event."""

from dataclasses import dataclass

MAX_LENGTH = 200


class InvalidOrder(ValueError):
    """The event is not an order."""


@dataclass(frozen=True)
class Order:
    """An order.

    Args:
        order_id: Chosen by the caller, who sends the same one when it retries.
        item: The item that is ordered.
    """

    order_id: str
    item: str


def parse(event: object) -> Order:
    """Read an order from an event.

    Raises:
        InvalidOrder: The event is not an order; the message gives the reason.
    """
    if not isinstance(event, dict):
        raise InvalidOrder(f"the event is a {type(event).__name__}; give an object")
    return Order(_text(event, "order_id"), _text(event, "item"))


def _text(event: dict[str, object], field: str) -> str:
    value = event.get(field)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_LENGTH:
        raise InvalidOrder(f"{field}: give a string of 1 to {MAX_LENGTH} characters")
    return value
