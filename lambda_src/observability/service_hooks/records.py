"""The table of the hooks: one row for each thing that a service has sent, also if it sends it twice."""

from collections.abc import Mapping
from typing import Any

from shared.items import to_item


class Records:
    """Rows that are written once.

    Args:
        dynamodb: A client of DynamoDB.
        table: The name of a table with the partition key ``id``.
    """

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb, self._table = dynamodb, table

    def add(self, id: str, values: Mapping[str, Any]) -> bool:
        """Write a row, and return whether it is new."""
        try:
            self._dynamodb.put_item(
                TableName=self._table,
                Item=to_item({"id": id, **values}),
                ConditionExpression="attribute_not_exists(id)",
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return False
        return True
