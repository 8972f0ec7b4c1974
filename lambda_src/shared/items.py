"""Python values ↔ items in the form of DynamoDB's API: text, whole numbers, booleans, maps and lists.

boto3's own serializer would import boto3, a tenth of the start (``benchmarks/README.md``).
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

Item: TypeAlias = dict[str, dict[str, Any]]


def to_item(values: Mapping[str, Any]) -> Item:
    """Return values as DynamoDB takes them."""
    return {name: _typed(value) for name, value in values.items()}


def from_item(item: Item) -> dict[str, Any]:
    """Return the values of an item."""
    return {name: _plain(value) for name, value in item.items()}


def _typed(value: Any) -> dict[str, Any]:
    match value:
        case bool():
            return {"BOOL": value}
        case int():
            return {"N": str(value)}
        case dict():
            return {"M": to_item(value)}
        case list():
            return {"L": [_typed(one) for one in value]}
    return {"S": value}


def _plain(typed: dict[str, Any]) -> Any:
    [(kind, value)] = typed.items()
    match kind:
        case "N":
            return int(value)
        case "M":
            return from_item(value)
        case "L":
            return [_plain(one) for one in value]
    return value
