"""The summaries in DynamoDB: one item per device, replaced only if it has not changed meanwhile."""

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from .readings import Reading, Summary

_NUMBERS = ("count", "total", "minimum", "maximum", "last", "sequence")


class Summaries:
    """Reads and writes summaries.

    Args:
        client: A DynamoDB client.
        table: Partition key ``device``.
    """

    def __init__(self, client: Any, table: str) -> None:
        self._client = client
        self._table = table

    def add(self, device: str, readings: Iterable[Reading]) -> None:
        """Add readings to the summary of their device."""
        old = self.get(device)
        new = old.with_readings(readings)
        if new != old:
            self.put(device, new, old)

    def get(self, device: str) -> Summary:
        """Return the summary of a device; an empty one if there is none yet."""
        answer = self._client.get_item(
            TableName=self._table, Key={"device": {"S": device}}, ConsistentRead=True
        )
        item = answer.get("Item")
        return Summary(**{name: int(item[name]["N"]) for name in _NUMBERS}) if item else Summary()

    def put(self, device: str, new: Summary, old: Summary) -> None:
        """Write a summary, provided that the table still holds the old one.

        Lambda gives the records of a partition key to one invocation at a time. But an invocation that timed
        out may still be running when the next one starts, and must not overwrite what that one wrote: then
        the condition fails, and with it the late invocation.
        """
        item = {"device": {"S": device}}
        item |= {name: {"N": str(value)} for name, value in asdict(new).items()}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(device)"}
        if old.count:
            condition = {
                "ConditionExpression": "#sequence = :old",
                "ExpressionAttributeNames": {"#sequence": "sequence"},
                "ExpressionAttributeValues": {":old": {"N": str(old.sequence)}},
            }
        self._client.put_item(TableName=self._table, Item=item, **condition)
