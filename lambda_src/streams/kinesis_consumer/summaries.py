"""The summaries in DynamoDB: an item for each device, written only over what it was made from."""

from dataclasses import asdict
from typing import Any

from readings import Summary

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

    def get(self, device: str) -> Summary:
        """The summary of a device; an empty one if there is none yet."""
        answer = self._client.get_item(
            TableName=self._table, Key={"device": {"S": device}}, ConsistentRead=True
        )
        item = answer.get("Item")
        return Summary(**{name: int(item[name]["N"]) for name in _NUMBERS}) if item else Summary()

    def put(self, device: str, new: Summary, old: Summary) -> None:
        """Write a summary, provided that the old one is still there.

        Lambda hands a partition key to one invocation at a time. One that timed out may still be running
        when the next begins, though, and must not write over it: then the condition fails, and the
        invocation with it.
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
