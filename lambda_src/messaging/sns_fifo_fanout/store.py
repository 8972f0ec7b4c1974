"""The event store in DynamoDB: each event once, behind the one before it."""

from collections.abc import Iterator
from typing import Any

from events import OrderEvent

_CONDITION = "ConditionalCheckFailed"


class VersionGap(Exception):
    """The event before this one is not there yet."""


class VersionTaken(Exception):
    """Another event has this version of the order."""


class EventStore:
    """Appends and reads events.

    Args:
        client: A DynamoDB client.
        table: Partition key ``order_id``, sort key ``version`` (number).
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def append(self, event: OrderEvent) -> bool:
        """Append an event, unless it is there; returns whether it was new.

        Raises:
            VersionGap: Its predecessor is missing. It may be on its way, or among the dead letters.
            VersionTaken: Somebody else's event is in its place.
        """
        put = {
            "TableName": self._table,
            "Item": _item(event),
            "ConditionExpression": "attribute_not_exists(order_id)",
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        }
        items: list[dict[str, Any]] = [{"Put": put}]
        if event.version > 1:
            before = {
                "TableName": self._table,
                "Key": _key(event.order_id, event.version - 1),
                "ConditionExpression": "attribute_exists(order_id)",
            }
            items.append({"ConditionCheck": before})
        try:
            self._client.transact_write_items(TransactItems=items)
        except self._client.exceptions.TransactionCanceledException as error:
            mine, *others = error.response["CancellationReasons"]
            if mine.get("Code") == _CONDITION:
                if mine["Item"]["event_id"]["S"] == event.event_id:
                    return False
                raise VersionTaken(f"version {event.version} is another event's") from error
            if others and others[0].get("Code") == _CONDITION:
                raise VersionGap(f"version {event.version - 1} is missing") from error
            raise
        return True

    def events_of(self, order_id: str) -> list[OrderEvent]:
        """All events of an order, in order."""
        pages = self._client.get_paginator("query").paginate(
            TableName=self._table,
            ConsistentRead=True,
            KeyConditionExpression="order_id = :order",
            ExpressionAttributeValues={":order": {"S": order_id}},
        )
        return [_event(item) for page in pages for item in page["Items"]]

    def all(self) -> Iterator[OrderEvent]:
        """Every event, those of one order in order."""
        pages = self._client.get_paginator("scan").paginate(TableName=self._table, ConsistentRead=True)
        return (_event(item) for page in pages for item in page["Items"])


def _key(order_id: str, version: int) -> dict[str, Any]:
    return {"order_id": {"S": order_id}, "version": {"N": str(version)}}


def _item(event: OrderEvent) -> dict[str, Any]:
    return {
        name: {"N": str(value)} if isinstance(value, int) else {"S": value}
        for name, value in event.to_dict().items()
    }


def _event(item: dict[str, Any]) -> OrderEvent:
    values: dict[str, Any] = {
        name: int(value["N"]) if "N" in value else value["S"] for name, value in item.items()
    }
    return OrderEvent(**values)
