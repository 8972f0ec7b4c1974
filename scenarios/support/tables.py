"""Tables in scenarios."""

from __future__ import annotations

from typing import Any


def query(dynamodb: Any, **of: Any) -> list[dict[str, Any]]:
    """Return all items that a query finds, with what was written last.

    Args:
        dynamodb: A client of DynamoDB.
        **of: The parameters of Query: the table, the condition and its values.
    """
    pages = dynamodb.get_paginator("query").paginate(ConsistentRead=True, **of)
    return [item for page in pages for item in page["Items"]]
