"""Sequence numbers as long as those of DynamoDB Streams, without leading zeros; ids and sizes of events.

Faithful to: length, alphabet and order. The id of an event has 32 hexadecimal digits, and its size is that of
its keys and images.
Not to: how AWS makes them.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
"""

from __future__ import annotations

import itertools
import time
import uuid
from collections.abc import Callable
from typing import Any

from ministack.services import dynamodb

from localaws.patching import around, replaces

_counter = itertools.count(1)
_STARTED = int(time.time() * 1000)


@replaces(dynamodb, "_next_stream_seq")
def _next_stream_seq() -> str:
    return f"{_STARTED}{next(_counter):015d}"


@around(dynamodb, "_build_change_record")
def _build_change_record(
    stock: Callable[..., dict[str, Any]],
    table: dict[str, Any],
    event_name: str,
    old_item: dict[str, Any] | None,
    new_item: dict[str, Any] | None,
    view_type: str,
) -> dict[str, Any]:
    record = stock(table, event_name, old_item, new_item, view_type) | {"eventID": uuid.uuid4().hex}
    change = record["dynamodb"]
    items = [change[part] for part in ("Keys", "NewImage", "OldImage") if part in change]
    change["SizeBytes"] = sum(dynamodb._item_size_bytes(item) for item in items)
    return record
