"""Sequence numbers as long as those of DynamoDB Streams, without leading zeros, and ids of events.

Faithful to: length, alphabet and order. The id of an event has 32 hexadecimal digits.
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
    return stock(table, event_name, old_item, new_item, view_type) | {"eventID": uuid.uuid4().hex}
