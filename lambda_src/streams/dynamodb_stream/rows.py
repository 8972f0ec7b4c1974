"""A change of an order → the rows of its customers in the projection: plain Python without AWS.

Orders and rows are in the form of DynamoDB's API, and numbers stay text: nothing is rounded.
"""

import time
from collections.abc import Iterator
from typing import Any, TypeAlias

from shared.storable import NotStorable, check_text

Item: TypeAlias = dict[str, dict[str, Any]]
Key: TypeAlias = tuple[str, str]  # customer and order

# Records are delivered again for a day at most, as long as a stream retains them.
_REMEMBERED = 2 * 86_400  # seconds
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
_DIGITS = 40


class NotAnOrder(ValueError):
    """The item can never be in the projection; the text gives the reason."""


def rows_after(record: dict[str, Any]) -> Iterator[Item]:
    """Return the rows that a record changes: one, or two if the order has another customer now.

    An item that is no longer an order loses its row first, and then its change is refused: a later change
    need not name the customer whose row it was.

    Raises:
        NotAnOrder: The item is not an order, or the stream lacks an image.
    """
    change, version = record["dynamodb"], version_of(record)
    if change["StreamViewType"] != "NEW_AND_OLD_IMAGES":
        raise NotAnOrder(f"the stream is {change['StreamViewType']}; NEW_AND_OLD_IMAGES are needed")
    old, new = change.get("OldImage"), change.get("NewImage")
    place = key_of(new) if new is not None and is_order(new) else None
    # The customer of the old image is enough: its row may be of an image before that.
    if old is not None and _has_key(old) and key_of(old) != place:
        gone = "expired" if is_expiry(record) else "deleted"
        yield removed(key_of(old), version, gone if new is None else "moved" if place else "not an order")
    if new is not None:
        yield row_of(new, version)


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
        NotAnOrder: It has no customer, no number as total, or does not fit into the key of a row.
    """
    _check_key(order)
    if "N" not in order.get("total", {}):
        raise NotAnOrder("an order needs a total (N)")
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
    """Whether an item of the table is an order that can have a row: a table takes any."""
    return _has_key(item) and "N" in item.get("total", {})


def _has_key(item: Item) -> bool:
    try:
        _check_key(item)
    except NotAnOrder:
        return False
    return True


def _check_key(item: Item) -> None:
    """Check that a row can have the customer and the order as its key.

    The order is the sort key of a row, which is shorter than the partition key that it is in its own table:
    https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
    """
    try:
        for name, most in (("customer", 2_048), ("order", 1_024)):
            check_text(name, item.get(name, {}).get("S"), max_characters=most, max_bytes=most)
    except NotStorable as reason:
        raise NotAnOrder(str(reason)) from None


def key_of(item: Item) -> Key:
    """Return the key of an order's row, or of a row."""
    return item["customer"]["S"], item["order"]["S"]
