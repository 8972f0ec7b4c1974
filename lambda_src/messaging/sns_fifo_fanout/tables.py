"""The event store and the read model in DynamoDB."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from .orders import OrderEvent, OrderStatus, status_of

_CONDITION = "ConditionalCheckFailed"


class VersionGap(Exception):
    """The previous event is not in the store. It may arrive later, or be in a dead-letter queue."""


class VersionTaken(Exception):
    """The store holds another event with this version of the order."""


class StoreIsBehind(Exception):
    """The store does not hold yet what the read model contains: worth a retry."""


class EventStore:
    """Appends and reads events: each once, and only after the previous one of its order.

    Args:
        client: A DynamoDB client.
        table: Partition key ``order_id``, sort key ``version`` (number).
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def append(self, event: OrderEvent) -> bool:
        """Append an event unless the store holds it already; return whether it was new.

        Raises:
            VersionGap: The previous event is missing.
            VersionTaken: Another event has this version.
        """
        put = {
            "TableName": self._table,
            "Item": {
                name: {"N": str(value)} if isinstance(value, int) else {"S": value}
                for name, value in asdict(event).items()
            },
            "ConditionExpression": "attribute_not_exists(order_id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        previous = {
            "TableName": self._table,
            "Key": {"order_id": {"S": event.order_id}, "version": {"N": str(event.version - 1)}},
            "ConditionExpression": "attribute_exists(order_id)",
        }
        items = [{"Put": put}, {"ConditionCheck": previous}] if event.version > 1 else [{"Put": put}]
        try:
            self._client.transact_write_items(TransactItems=items)
        except self._client.exceptions.TransactionCanceledException as error:
            mine, *others = error.response["CancellationReasons"]
            if mine.get("Code") == _CONDITION:
                if mine["Item"]["event_id"]["S"] == event.event_id:
                    return False
                raise VersionTaken(f"another event has version {event.version}") from error
            if others and others[0].get("Code") == _CONDITION:
                raise VersionGap(f"version {event.version - 1} is missing") from error
            raise
        return True

    def events_of(self, order_id: str) -> list[OrderEvent]:
        """Return all events of an order, in order."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="order_id = :order",
            ExpressionAttributeValues={":order": {"S": order_id}},
        )
        return [_event(item) for page in pages for item in page["Items"]]

    def all(self) -> Iterator[OrderEvent]:
        """Yield every event, those of one order in order."""
        pages = self._client.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
        return (_event(item) for page in pages for item in page["Items"])


class StatusView:
    """The read model: the status of each order.

    Args:
        client: A DynamoDB client.
        table: Partition key ``order_id``.
        store: The event store, for late events and for a rebuild.
    """

    def __init__(self, client: Any, table: str, store: EventStore) -> None:
        self._client = client
        self._table = table
        self._store = store

    def project(self, event: OrderEvent) -> None:
        """Bring the status of an order up to this event.

        An event that is newer than the item is applied to it. Any other is a duplicate, or late after a
        redrive; then the item was made without it and is rebuilt from the store.

        Raises:
            StoreIsBehind: The store holds less than the item.
        """
        item = self.get(event.order_id)
        new = item.after(event)
        if event.version <= item.version:
            new = status_of(self._store.events_of(event.order_id))
            if new.version < item.version:
                raise StoreIsBehind(f"the store ends before version {item.version}")
        self._put(event.order_id, new, expected_version=item.version)

    def get(self, order_id: str) -> OrderStatus:
        """Return the status of an order."""
        answer = self._client.get_item(
            TableName=self._table, Key={"order_id": {"S": order_id}}, ConsistentRead=True
        )
        item = answer.get("Item")
        return OrderStatus(item["status"]["S"], int(item["version"]["N"])) if item else OrderStatus()

    def rebuild(self) -> int:
        """Make every item again from the store; return how many."""
        orders: dict[str, list[OrderEvent]] = {}
        for event in self._store.all():
            orders.setdefault(event.order_id, []).append(event)
        for order_id, events in orders.items():
            self._put(order_id, status_of(events), expected_version=None)
        return len(orders)

    def _put(self, order_id: str, status: OrderStatus, *, expected_version: int | None) -> None:
        """Write an item if there is none or it has the expected version; ``None``: any version."""
        condition: dict[str, Any] = {}
        if expected_version is not None:  # an invocation that timed out may still be writing
            condition = {
                "ConditionExpression": "attribute_not_exists(order_id) OR version = :expected",
                "ExpressionAttributeValues": {":expected": {"N": str(expected_version)}},
            }
        self._client.put_item(
            TableName=self._table,
            Item={
                "order_id": {"S": order_id},
                "status": {"S": status.status},
                "version": {"N": str(status.version)},
            },
            **condition,
        )


def _event(item: dict[str, Any]) -> OrderEvent:
    return OrderEvent(
        event_id=item["event_id"]["S"],
        order_id=item["order_id"]["S"],
        version=int(item["version"]["N"]),
        type=item["type"]["S"],
    )
