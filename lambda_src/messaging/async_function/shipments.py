"""The parcels of orders in DynamoDB: one for each order."""

from dataclasses import dataclass
from typing import Any

from shared.storable import NotStorable, check_text

_MAX_QUANTITY = 10**6
_MAX_PAUSE = 60


class InvalidOrder(ValueError):
    """The order can never be shipped; the message says what to change."""


def order_id_of(event: object) -> str:
    """Return the id of the order in an event, whatever else the event has.

    Raises:
        InvalidOrder: It has none.
    """
    if not isinstance(event, dict):
        raise InvalidOrder("an order is a JSON object with order_id and quantity")
    try:
        return check_text("order_id", event.get("order_id"), max_characters=256, max_bytes=2_048)
    except NotStorable as reason:
        raise InvalidOrder(str(reason)) from None


@dataclass(frozen=True)
class Order:
    """An order.

    Args:
        order_id: The sender's id of the order, the same each time it is sent.
        quantity: How many pieces.
        pause: For demonstrations: seconds between the booking of a new parcel and the end of the work.
    """

    order_id: str
    quantity: int
    pause: float = 0

    @classmethod
    def parse(cls, event: dict[str, Any]) -> "Order":
        """Read an event.

        Raises:
            InvalidOrder: It is not an order.
        """
        order_id = order_id_of(event)
        quantity, pause = event.get("quantity"), event.get("pause", 0)
        if isinstance(quantity, bool) or not isinstance(quantity, int) or not 0 < quantity <= _MAX_QUANTITY:
            raise InvalidOrder(f"quantity must be a whole number from 1 to {_MAX_QUANTITY:,}")
        if isinstance(pause, bool) or not isinstance(pause, int | float) or not 0 <= pause <= _MAX_PAUSE:
            raise InvalidOrder(f"pause must be a number of seconds from 0 to {_MAX_PAUSE}")
        return cls(order_id, quantity, pause)


class Shipments:
    """Books parcels.

    Args:
        client: A DynamoDB client.
        table: Partition key ``order_id``.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def ship(self, order: Order, parcel: str) -> tuple[str, bool]:
        """Book a parcel unless the order has one; return its number, and whether it is new.

        ``times`` counts how often that happened. Without the condition a repeated event would raise it.
        """
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"order_id": {"S": order.order_id}},
                UpdateExpression="SET parcel = :parcel, quantity = :quantity ADD times :one",
                ConditionExpression="attribute_not_exists(order_id)",
                ExpressionAttributeValues={
                    ":parcel": {"S": parcel},
                    ":quantity": {"N": str(order.quantity)},
                    ":one": {"N": "1"},
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refused:
            return str(refused.response["Item"]["parcel"]["S"]), False
        return parcel, True
