"""The event store and the read model in DynamoDB."""

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

from shared.transactions import CONDITION, transact

from .orders import OrderEvent, OrderStatus, status_of

_PAUSE = 0.1  # seconds until the store is read again


class VersionGap(Exception):
    """The previous event is not in the store. It may arrive later, or be in a dead-letter queue."""


class VersionTaken(Exception):
    """The store holds another event with this version of the order."""


class StoreIsBehind(Exception):
    """The store does not hold the event yet: worth a retry."""


class EventStore:
    """Appends and reads events: each once, and only after the previous one of its order.

    Args:
        client: A DynamoDB client.
        table: Partition key ``order_id``, sort key ``version`` (number).
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def append(self, event: OrderEvent, seconds: float) -> bool:
        """Append an event unless the store holds it already; return whether it was new.

        Args:
            event: The event.
            seconds: How long to try while other transactions write the same events.

        Raises:
            VersionGap: The previous event is missing.
            VersionTaken: Another event has this version.
            TimeoutError: Other transactions wrote the events all the time.
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
        refused = transact(self._client, items, seconds)
        if not refused:
            return True
        mine = refused[0]
        if mine.get("Code") != CONDITION:
            raise VersionGap(f"version {event.version - 1} is missing")
        if mine["Item"]["event_id"]["S"] != event.event_id:
            raise VersionTaken(f"another event has version {event.version}")
        return False

    def events_of(self, order_id: str) -> list[OrderEvent]:
        """Return all events of an order, in order."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="order_id = :order",
            ExpressionAttributeValues={":order": {"S": order_id}},
        )
        return [_event(item) for page in pages for item in page["Items"]]

    def order_ids(self) -> Iterator[str]:
        """Yield the order of every event."""
        return _order_ids(self._client, self._table)


class StatusView:
    """The read model: the status of each order, as it follows from the events in the store.

    It gets the same messages as the store, but nothing of a message is written to it: the store may refuse
    the event, or may not have it yet. A message only says which order to read again.

    Args:
        client: A DynamoDB client.
        table: Partition key ``order_id``.
        store: The event store.
    """

    def __init__(self, client: Any, table: str, store: EventStore) -> None:
        self._client = client
        self._table = table
        self._store = store

    def project(self, event: OrderEvent, *, patience: float) -> None:
        """Bring the status of an order up to this event.

        Args:
            event: The event. If the store holds another one with its version, it never counts.
            patience: How many seconds the store may take to append the event.

        Raises:
            StoreIsBehind: The store still ends before this event.
        """
        deadline = time.monotonic() + patience
        while (last := self.refresh(event.order_id)) < event.version:
            if time.monotonic() >= deadline:
                raise StoreIsBehind(f"the store ends at version {last}, before version {event.version}")
            time.sleep(_PAUSE)

    def refresh(self, order_id: str) -> int:
        """Make the item of an order again from the store; return the version of the last event there, or 0.

        The item is read before the events. So the events are at least as new, unless another invocation
        replaces the item meanwhile: then the condition fails, and everything is read again.
        """
        while True:
            old = self._item(order_id)
            events = self._store.events_of(order_id)
            new = status_of(events)
            if new == old or self._replace(order_id, old, new):
                return events[-1].version if events else 0

    def rebuild(self, *, after: str, has_time: Callable[[], bool]) -> tuple[int, str]:
        """Make the items again, in the order of their ids; also those of orders that the store does not hold.

        Args:
            after: Where the previous call stopped; empty for the first one.
            has_time: Whether there is time for one more item.

        Returns:
            How many orders were done, and the last of them if there was no time for more.
        """
        orders = set(_order_ids(self._client, self._table)) | set(self._store.order_ids())
        remaining = sorted(order_id for order_id in orders if order_id > after)
        for done, order_id in enumerate(remaining):
            if done and not has_time():
                return done, remaining[done - 1]
            self.refresh(order_id)
        return len(remaining), ""

    def _item(self, order_id: str) -> OrderStatus:
        answer = self._client.get_item(
            TableName=self._table, Key={"order_id": {"S": order_id}}, ConsistentRead=True
        )
        item = answer.get("Item")
        return OrderStatus(item["status"]["S"], int(item["version"]["N"])) if item else OrderStatus()

    def _replace(self, order_id: str, old: OrderStatus, new: OrderStatus) -> bool:
        """Replace an item, and return whether it still was the old one. Without an event there is no item."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(order_id)"}
        if old.version:
            condition = {
                "ConditionExpression": "version = :version AND #status = :status",
                "ExpressionAttributeNames": {"#status": "status"},
                "ExpressionAttributeValues": {
                    ":version": {"N": str(old.version)},
                    ":status": {"S": old.status},
                },
            }
        key = {"order_id": {"S": order_id}}
        try:
            if new.version:
                item = {**key, "status": {"S": new.status}, "version": {"N": str(new.version)}}
                self._client.put_item(TableName=self._table, Item=item, **condition)
            else:
                self._client.delete_item(TableName=self._table, Key=key, **condition)
        except self._client.exceptions.ConditionalCheckFailedException:
            return False
        return True


def _order_ids(client: Any, table: str) -> Iterator[str]:
    pages = client.get_paginator("scan").paginate(
        TableName=table, ConsistentRead=True, ProjectionExpression="order_id"
    )
    return (item["order_id"]["S"] for page in pages for item in page["Items"])


def _event(item: dict[str, Any]) -> OrderEvent:
    return OrderEvent(
        event_id=item["event_id"]["S"],
        order_id=item["order_id"]["S"],
        version=int(item["version"]["N"]),
        type=item["type"]["S"],
    )
