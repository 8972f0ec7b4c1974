"""Items past their time to live are deleted by the service, and the stream says so.

The emulator deletes them once a minute, without a stream record, and takes any text for a time.

Faithful to: a deletion by the service has a stream record with its `userIdentity`, in the Region that deleted
the item and not in the replicas of a global table. Only a Number is a time, and a time more than five years
ago is none.
Not to: the time. AWS deletes items within a few days of their expiration; here it takes a second.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-before-you-start.html
"""

from __future__ import annotations

import copy
import json
import logging
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.core.responses import request_scope
from ministack.services import dynamodb, dynamodb_streams

from localaws.patching import around, on_start

logger = logging.getLogger("localaws.dynamodb")

Table = dict[str, Any]
_IDENTITY = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
_INTERVAL = 1.0
_OLDEST = 5 * 365 * 86_400
_expiring: ContextVar[Table | None] = ContextVar("localaws_expiring", default=None)


@around(dynamodb, "_remove_item")
def _remove_item(stock: Callable[..., Any], table: Table, pk_val: Any, sk_val: Any) -> Any:
    # The emulator's own loop, which runs already, has nothing to do.
    if threading.current_thread().name == "dynamodb-ttl-reaper":
        return None
    return stock(table, pk_val, sk_val)


@around(dynamodb, "_build_change_record", after=["dynamodb.streams"])
def _build_change_record(
    stock: Callable[..., dict[str, Any]],
    table: Table,
    event_name: str,
    old_item: Any,
    new_item: Any,
    view_type: str,
) -> dict[str, Any]:
    record = stock(table, event_name, old_item, new_item, view_type)
    return record | {"userIdentity": dict(_IDENTITY)} if _expiring.get() is table else record


@around(dynamodb_streams, "_get_records")
def _get_records(stock: Callable[[Any], tuple[int, Any, Any]], data: Any) -> tuple[int, Any, Any]:
    """Write the identity as the API does: with capitals, which events of functions have not."""
    status, headers, body = stock(data)
    if b"userIdentity" not in (body if isinstance(body, bytes) else body.encode()):
        return status, headers, body
    answer = json.loads(body)
    for record in answer.get("Records", []):
        if identity := record.get("userIdentity"):
            record["userIdentity"] = {"Type": identity["type"], "PrincipalId": identity["principalId"]}
    return status, headers, json.dumps(answer).encode()


@on_start
def _start() -> None:
    threading.Thread(target=_run, daemon=True, name="localaws-ttl").start()


def _run() -> None:
    while True:
        time.sleep(_INTERVAL)
        for (account, region, name), setting in list(dynamodb._ttl_settings.all_items()):
            if setting.get("TimeToLiveStatus") == "ENABLED":
                try:
                    with request_scope(account, region):
                        _delete_expired(name, setting["AttributeName"])
                except Exception:
                    logger.exception("%s: expired items were not deleted", name)


def _delete_expired(name: str, attribute: str) -> None:
    now = time.time()
    with dynamodb._lock:
        table = dynamodb._tables.get(name)
        expired = [
            (partition, sort, item)
            for partition, items in ((table or {}).get("items") or {}).items()
            for sort, item in items.items()
            if _is_expired(item.get(attribute), now)
        ]
        token = _expiring.set(table)
        try:
            for partition, sort, item in expired:
                dynamodb._remove_item(table, partition, sort)
                dynamodb._emit_stream_event(name, "REMOVE", copy.deepcopy(item), None)
        finally:
            _expiring.reset(token)


def _is_expired(value: Any, now: float) -> bool:
    """Whether the value of the attribute is a time in the last five years."""
    return isinstance(value, dict) and "N" in value and now - _OLDEST < float(value["N"]) <= now
