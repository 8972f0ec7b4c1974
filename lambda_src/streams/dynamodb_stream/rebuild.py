"""Table of orders → the projection made anew, while its changes go on.

The first pass scans the orders and writes their rows, the second scans the rows and removes those without an
order. A row is read *before* its order, and written only if it still has the version that was read:

- If the stream has changed the row meanwhile, its change is the newer one, and the row stays as it is.
- If not, the order that was read contains every change that the row had. Changes that the stream has yet to
  deliver are later than the version that the row keeps, so they are applied, in order, to the last one.

An invocation ends before its time does, and returns where to continue. What is done twice changes nothing.
"""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from aws_lambda_powertools.logging import Logger

    from shared.clients import make_clients

    from .rows import Item, Key, is_order, key_of, removed, row_of

    logger = Logger()
    [dynamodb] = make_clients("dynamodb")

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

ORDERS, ROWS = os.environ["ORDERS_TABLE_NAME"], os.environ["PROJECTION_TABLE_NAME"]
_KEYS = {"orders": {"order"}, "rows": {"customer", "order"}}
_PAGE = 100  # the maximum of BatchGetItem
_PAGE_MILLISECONDS = 30_000  # more than a page takes


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Rebuild the projection, from the beginning or from where another invocation ended.

    Returns:
        How many rows were written, left as they are, and changed meanwhile; and ``next``, the event with
        which the next invocation continues; None at the end.

    Raises:
        ValueError: The event is neither empty nor such a place.
    """
    counts: Counter[str] = Counter()
    place: dict[str, Any] | None = _place_in(event)
    while place and context.get_remaining_time_in_millis() > _PAGE_MILLISECONDS:
        of_orders = place["table"] == "orders"
        start = {"ExclusiveStartKey": place["after"]} if place["after"] else {}
        page = dynamodb.scan(
            TableName=ORDERS if of_orders else ROWS, Limit=_PAGE, ConsistentRead=True, **start
        )
        found = [one for one in page["Items"] if (is_order(one) if of_orders else "removed" not in one)]
        counts["not an order"] += of_orders * (len(page["Items"]) - len(found))
        counts += rebuild(list(map(key_of, found)))
        if after := page.get("LastEvaluatedKey"):
            place = {"table": place["table"], "after": after}
        else:
            place = {"table": "rows", "after": None} if of_orders else None
    logger.info("rebuilt", next=place, rows=counts)
    return {**counts, "next": place}


def _place_in(event: object) -> dict[str, Any]:
    place = {"table": "orders", "after": None} | event if isinstance(event, dict) else {}
    keys, after = _KEYS.get(str(place.get("table"))), place.get("after")
    if keys is None or place.keys() != {"table", "after"} or not (after is None or _is_key(after, keys)):
        raise ValueError(
            f"event={repr(event)[:200]}: give {{}} to begin, or what the last invocation returned as `next`."
        )
    return place


def _is_key(value: object, names: Collection[str]) -> bool:
    if not isinstance(value, dict) or value.keys() != names:
        return False
    return all(
        isinstance(one, dict) and one.keys() == {"S"} and isinstance(one["S"], str) for one in value.values()
    )


def rebuild(keys: Collection[Key]) -> Counter[str]:
    """Make rows what the orders say, and return how many were written, unchanged, and changed meanwhile."""
    rows = {key_of(row): row for row in _get(ROWS, [_row_key(key) for key in keys])}
    names = {order for _, order in keys}
    orders = {one["order"]["S"]: one for one in _get(ORDERS, [{"order": {"S": name}} for name in names])}
    return Counter(_write(key, rows.get(key), orders.get(key[1])) for key in keys)


def _write(key: Key, row: Item | None, order: Item | None) -> str:
    version = (row or {}).get("version")
    text = version["S"] if version else ""
    wanted = row_of(order, text) if order and is_order(order) and key_of(order) == key else None
    if wanted == row or (wanted is None and row and "removed" in row):
        return "unchanged"
    condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(version)"}
    if version:
        condition = {
            "ConditionExpression": "version = :version",
            "ExpressionAttributeValues": {":version": version},
        }
    try:
        dynamodb.put_item(TableName=ROWS, Item=wanted or removed(key, text, "rebuilt"), **condition)
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return "changed meanwhile"
    return "written"


def _row_key(key: Key) -> Item:
    return {"customer": {"S": key[0]}, "order": {"S": key[1]}}


def _get(table: str, keys: Iterable[Item]) -> list[Item]:
    """Read up to 100 items consistently."""
    found: list[Item] = []
    request: dict[str, Any] = {table: {"Keys": list(keys), "ConsistentRead": True}}
    while request and request[table]["Keys"]:
        answer = dynamodb.batch_get_item(RequestItems=request)
        found += answer["Responses"].get(table, [])
        request = answer.get("UnprocessedKeys") or {}
    return found
