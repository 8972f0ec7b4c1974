"""What an order is."""

from dataclasses import dataclass

MAX_LENGTH = 200


class InvalidOrder(ValueError):
    """The event is no order."""


@dataclass(frozen=True)
class Order:
    """An order.

    Args:
        order_id: Chosen by the caller, the same when it tries again.
        item: What is ordered.
    """

    order_id: str
    item: str


def parse(event: object) -> Order:
    """Read an order out of an event.

    Raises:
        InvalidOrder: It is none; the message says what is wrong.
    """
    if not isinstance(event, dict):
        raise InvalidOrder(f"the event is a {type(event).__name__}; give an object")
    return Order(_text(event, "order_id"), _text(event, "item"))


def _text(event: dict[str, object], field: str) -> str:
    value = event.get(field)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_LENGTH:
        raise InvalidOrder(f"{field}: give text of 1 to {MAX_LENGTH} characters")
    return value
