"""The stock in DynamoDB, of which an order takes its part once."""

from dataclasses import dataclass
from typing import Any

from shared.storable import NotStorable, check_text

_MOST = 1_000


class InvalidOrder(ValueError):
    """The order can never be reserved; the message says what to change."""


class OutOfStock(Exception):
    """There are not enough of the product."""


class StockBusy(Exception):
    """The table takes no more writes at the moment: the same request may succeed soon."""


@dataclass(frozen=True)
class Order:
    """An order.

    Args:
        order_id: Chosen by the client, the same whenever it repeats the request.
        product: The product.
        quantity: How many.
    """

    order_id: str
    product: str
    quantity: int

    @classmethod
    def parse(cls, given: dict[str, Any]) -> "Order":
        """Read an order, of which the workflow has checked that all is there.

        Raises:
            InvalidOrder: It cannot be reserved.
        """
        try:
            for name in ("order_id", "product"):
                check_text(name, given.get(name), max_characters=256, max_bytes=1_024)
        except NotStorable as reason:
            raise InvalidOrder(str(reason)) from None
        quantity = given.get("quantity")
        if isinstance(quantity, bool) or not isinstance(quantity, int) or not 1 <= quantity <= _MOST:
            raise InvalidOrder(f"quantity must be a whole number from 1 to {_MOST:,}")
        return cls(given["order_id"], given["product"], quantity)


class Stock:
    """Reserves products.

    Args:
        client: A DynamoDB client.
        table: Partition key ``product``; the number in stock in ``in_stock``.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def reserve(self, order: Order) -> None:
        """Take the products of an order out of the stock, unless that was done before.

        Raises:
            OutOfStock: There are not enough.
            StockBusy: The table is throttled.
        """
        # One write: a retry after a lost answer finds the order in the item.
        reservation = f"{order.order_id}/{order.quantity}"
        try:
            self._client.update_item(
                TableName=self._table,
                Key={"product": {"S": order.product}},
                UpdateExpression="SET in_stock = in_stock - :quantity ADD orders :orders",
                ConditionExpression="in_stock >= :quantity AND NOT contains(orders, :order)",
                ExpressionAttributeValues={
                    ":quantity": {"N": str(order.quantity)},
                    ":order": {"S": reservation},
                    ":orders": {"SS": [reservation]},
                },
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except self._client.exceptions.ConditionalCheckFailedException as refused:
            before = refused.response.get("Item", {})
            if reservation not in before.get("orders", {}).get("SS", ()):
                raise OutOfStock(order.product) from None
        except (
            self._client.exceptions.ProvisionedThroughputExceededException,
            self._client.exceptions.RequestLimitExceeded,
        ) as error:
            raise StockBusy(str(error)) from None
