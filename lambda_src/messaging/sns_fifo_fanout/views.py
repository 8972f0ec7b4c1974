"""The read models in DynamoDB: the status of each order, and the revenue of each day."""

from dataclasses import asdict
from typing import Any

from events import OrderEvent, OrderStatus, status_of
from store import EventStore


class StoreIsBehind(Exception):
    """The store has not yet got what this read model has seen: to be tried again later."""


class StatusView:
    """The status of each order, projected in order.

    Args:
        client: A DynamoDB client.
        table: Partition key ``order_id``.
        store: For what comes late.
    """

    def __init__(self, client: Any, table: str, store: EventStore) -> None:
        self._client = client
        self._table = table
        self._store = store

    def project(self, event: OrderEvent) -> None:
        """Bring the status of an order up to this event.

        An event that is newer than the row moves it on. Any other is either a duplicate or, after a redrive,
        late: then the row was made without it, and is made anew from the store.
        """
        row = self.get(event.order_id)
        new = row.after(event)
        if event.version <= row.version:
            new = status_of(self._store.events_of(event.order_id))
            if new.version < row.version:
                raise StoreIsBehind(f"the store ends before version {row.version}")
        self._put(event.order_id, new, row.version)

    def get(self, order_id: str) -> OrderStatus:
        """The row of an order."""
        answer = self._client.get_item(
            TableName=self._table, Key={"order_id": {"S": order_id}}, ConsistentRead=True
        )
        item = answer.get("Item")
        return OrderStatus(item["status"]["S"], int(item["version"]["N"])) if item else OrderStatus()

    def rebuild(self) -> int:
        """Make every row anew from the store; returns how many."""
        orders: dict[str, list[OrderEvent]] = {}
        for event in self._store.all():
            orders.setdefault(event.order_id, []).append(event)
        for order_id, events in orders.items():
            self._put(order_id, status_of(events), None)
        return len(orders)

    def _put(self, order_id: str, status: OrderStatus, over: int | None) -> None:
        """Write a row, over the version that it was made from, or over any."""
        values = asdict(status)
        condition: dict[str, Any] = {}
        if over is not None:  # an invocation that timed out may still be writing
            condition = {
                "ConditionExpression": "attribute_not_exists(order_id) OR version = :over",
                "ExpressionAttributeValues": {":over": {"N": str(over)}},
            }
        self._client.put_item(
            TableName=self._table,
            Item={
                "order_id": {"S": order_id},
                "status": {"S": values["status"]},
                "version": {"N": str(values["version"])},
            },
            **condition,
        )


class RevenueView:
    """The revenue of each day: a sum, so order does not matter, but no event may count twice.

    Args:
        client: A DynamoDB client.
        table: Partition key ``key``: ``day#YYYY-MM-DD``, and ``event#ID`` for each event that was counted.
        store: What a rebuild counts.
    """

    def __init__(self, client: Any, table: str, store: EventStore) -> None:
        self._client = client
        self._table = table
        self._store = store

    def project(self, event: OrderEvent) -> None:
        """Count an event, unless it was counted."""
        counted = {
            "TableName": self._table,
            "Item": {"key": {"S": f"event#{event.event_id}"}, "day": {"S": event.day}},
            "ConditionExpression": "attribute_not_exists(#key)",
            "ExpressionAttributeNames": {"#key": "key"},
        }
        total = {
            "TableName": self._table,
            "Key": {"key": {"S": f"day#{event.day}"}},
            "UpdateExpression": "ADD cents :cents",
            "ExpressionAttributeValues": {":cents": {"N": str(event.revenue)}},
        }
        try:
            self._client.transact_write_items(TransactItems=[{"Put": counted}, {"Update": total}])
        except self._client.exceptions.TransactionCanceledException as error:
            if error.response["CancellationReasons"][0].get("Code") != "ConditionalCheckFailed":
                raise

    def rebuild(self) -> int:
        """Count whatever the store holds and this read model has not counted; returns how many it looked at.

        After an empty table that is everything.
        """
        events = [event for event in self._store.all() if event.revenue]
        for event in events:
            self.project(event)
        return len(events)
