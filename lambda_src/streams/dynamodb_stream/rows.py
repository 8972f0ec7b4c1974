"""A change of an order → the rows of its customers in the projection: plain Python without AWS.

Orders and rows are in the form of DynamoDB's API, and numbers stay text: nothing is rounded.
"""

import time
from typing import Any, TypeAlias

Item: TypeAlias = dict[str, dict[str, Any]]
Key: TypeAlias = tuple[str, str]  # customer and order

# Records are delivered again for a day at most, as long as a stream retains them.
_REMEMBERED = 2 * 86_400  # seconds
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
_DIGITS = 40


class NotAnOrder(ValueError):
    """The item can never be in the projection; the text gives the reason."""


def rows_after(record: dict[str, Any]) -> list[Item]:
    """Return the rows that a record changes: one, or two if the order has another customer now.

    Raises:
        NotAnOrder: The item is not an order, or the stream lacks an image.
    """
    change, version = record["dynamodb"], version_of(record)
    if change["StreamViewType"] != "NEW_AND_OLD_IMAGES":
        raise NotAnOrder(f"the stream is {change['StreamViewType']}; NEW_AND_OLD_IMAGES are needed")
    old, new = change.get("OldImage"), change.get("NewImage")
    rows = [] if new is None else [row_of(new, version)]
    if old is not None and is_order(old) and (new is None or old["customer"] != new["customer"]):
        reason = "moved" if new is not None else "expired" if is_expiry(record) else "deleted"
        rows.append(removed(key_of(old), version, reason))
    return rows


def is_expiry(record: dict[str, Any]) -> bool:
    """Whether the item was deleted because of its time to live, and not by a user.

    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
    """
    identity = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    return record["eventName"] == "REMOVE" and record.get("userIdentity") == identity


def version_of(record: dict[str, Any]) -> str:
    """Return what increases from change to change of an item, as text that compares so.

    The label of the stream is the time at which it was enabled: what a later stream says is later. A number
    has up to 40 digits, and a Number of DynamoDB 38.
    """
    label = record["eventSourceARN"].rpartition("/")[2]
    return f"{label}#{int(record['dynamodb']['SequenceNumber']):0{_DIGITS}}"


def row_of(order: Item, version: str) -> Item:
    """Return the row of an order.

    Raises:
        NotAnOrder: It has no customer, or no number as total.
    """
    if not is_order(order):
        raise NotAnOrder("an order needs a customer (S) and a total (N)")
    return {name: order[name] for name in ("customer", "order", "total")} | {"version": {"S": version}}


def removed(key: Key, version: str, reason: str) -> Item:
    """Return the row of an order that is gone: it refuses older changes, until it expires itself."""
    customer, order = key
    return {
        "customer": {"S": customer},
        "order": {"S": order},
        "removed": {"S": reason},
        "version": {"S": version},
        "forget_at": {"N": str(int(time.time()) + _REMEMBERED)},
    }


def is_order(item: Item) -> bool:
    """Whether an item of the table is an order: a table takes any."""
    return bool(item.get("customer", {}).get("S")) and "N" in item.get("total", {})


def key_of(item: Item) -> Key:
    """Return the key of an order's row, or of a row."""
    return item["customer"]["S"], item["order"]["S"]
