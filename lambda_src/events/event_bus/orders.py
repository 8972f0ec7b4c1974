"""Orders that were placed: their schema, and what each consumer has done about them, once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from shared.storable import NotStorable, check_text

SOURCE, PLACED = "shop", "OrderPlaced"
_MOST = 10**6
SCHEMAS = {
    PLACED: {
        "type": "object",
        "required": ["order_id", "quantity"],
        "properties": {
            "order_id": {"type": "string", "minLength": 1, "maxLength": 256},
            "quantity": {"type": "integer", "minimum": 1, "maximum": _MOST},
        },
    }
}


class InvalidOrder(ValueError):
    """The event is not about an order; the message says what to change."""


@dataclass(frozen=True)
class Order:
    """An order that was placed.

    Args:
        order_id: The shop's id. It is the idempotency key: the id of an event would be another one if the
            shop published it again.
        quantity: How many pieces.
    """

    order_id: str
    quantity: int

    @classmethod
    def parse(cls, detail: Any) -> "Order":
        """Read what an event says. Its publisher may be another one, which checks nothing.

        Raises:
            InvalidOrder: It is not an order.
        """
        if not isinstance(detail, dict):
            raise InvalidOrder("the order must be an object")
        try:
            order_id = check_text("order_id", detail.get("order_id"), max_characters=256, max_bytes=1_024)
        except NotStorable as reason:
            raise InvalidOrder(str(reason)) from None
        quantity = detail.get("quantity")
        if isinstance(quantity, float) and quantity.is_integer():  # 3.0 is an integer in JSON Schema
            quantity = int(quantity)
        if isinstance(quantity, bool) or not isinstance(quantity, int) or not 0 < quantity <= _MOST:
            raise InvalidOrder(f"quantity must be a whole number from 1 to {_MOST:,}")
        return cls(order_id, quantity)


class Effects:
    """What a consumer has done.

    Args:
        client: A DynamoDB client.
        table: Partition key ``consumer``, sort key ``order_id``.
        consumer: Its name.
    """

    def __init__(self, client: Any, table: str, consumer: str) -> None:
        self._client = client
        self._table = table
        self._consumer = consumer

    def record(self, order: Order) -> bool:
        """Write an invoice or a mail for an order; return whether it is new.

        ``times`` counts how often that happened. Without the condition a repeated event would raise it.
        """
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"consumer": {"S": self._consumer}, "order_id": {"S": order.order_id}},
                UpdateExpression="SET quantity = :quantity, written_at = :now ADD times :one",
                ConditionExpression="attribute_not_exists(order_id)",
                ExpressionAttributeValues={
                    ":quantity": {"N": str(order.quantity)},
                    ":now": {"S": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"},
                    ":one": {"N": "1"},
                },
            )
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True
