"""Records of DynamoDB Streams as AWS writes them: identifiers, sequence numbers and sizes.

Faithful to: sequence numbers of 28 digits without leading zeros, in order; event ids of 32 hexadecimal
digits; the size of a record, which is that of its keys and images.
Not to: how AWS makes sequence numbers.

https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_Record.html
https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_streams_StreamRecord.html
"""

from __future__ import annotations

import itertools
import time
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
    old_item: Any,
    new_item: Any,
    view_type: str,
) -> dict[str, Any]:
    record = stock(table, event_name, old_item, new_item, view_type)
    written = record["dynamodb"]
    parts = (written.get(name) or {} for name in ("Keys", "NewImage", "OldImage"))
    written["SizeBytes"] = sum(dynamodb._item_size_bytes(part) for part in parts)
    return record | {"eventID": record["eventID"].replace("-", "")}
