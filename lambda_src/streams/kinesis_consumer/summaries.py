"""The summaries in DynamoDB: one item per device, replaced only if it has not changed meanwhile."""

from collections.abc import Iterable
from typing import Any

from .readings import Reading, Summary

_NUMBERS = ("count", "total", "minimum", "maximum", "last")

# A sequence number has 56 digits, and up to 129 as documented; DynamoDB's numbers have 38. As text with
# leading zeros it compares as the number does.
# https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html
_DIGITS = 129


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
        if not item:
            return Summary()
        numbers = {name: int(item[name]["N"]) for name in _NUMBERS}
        return Summary(**numbers, sequence=int(item["sequence"]["S"]))

    def put(self, device: str, new: Summary, old: Summary) -> None:
        """Write a summary, provided that the table still holds the old one.

        Lambda gives the records of a partition key to one invocation at a time. But an invocation that timed
        out may still be running when the next one starts, and must not overwrite what that one wrote: then
        the condition fails, and with it the late invocation.
        """
        item = {"device": {"S": device}, "sequence": _as_text(new.sequence)}
        item |= {name: {"N": str(getattr(new, name))} for name in _NUMBERS}
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(device)"}
        if old.count:
            condition = {
                "ConditionExpression": "#sequence = :old",
                "ExpressionAttributeNames": {"#sequence": "sequence"},
                "ExpressionAttributeValues": {":old": _as_text(old.sequence)},
            }
        self._client.put_item(TableName=self._table, Item=item, **condition)


def _as_text(sequence: int) -> dict[str, str]:
    return {"S": f"{sequence:0{_DIGITS}}"}
