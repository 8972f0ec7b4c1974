"""Invocation → order → one INSERT, whose trigger invokes the receiver or writes to the outbox.

The event ``{"order_id", "item", "notify"}`` is an order. ``notify`` is how the database notifies the
receiver: ``RequestResponse`` and ``Event`` are invocations within the transaction, ``outbox``, the default,
is a message in a table. The answer says whether the order was accepted, and why not. A schedule sends
``{"deliver": true}``, which delivers the messages of the outbox.
"""

import logging
import os
from typing import Any, Protocol

import psycopg

from shared.database import Database
from shared.login import Login
from shared.postgres import Connection

from . import postgres

logger = logging.getLogger(__name__)

# Outside the handler: the connection outlives the invocation, and the next one uses it again.
database = Database(postgres, Login.from_environment(os.environ))

NOTIFY = ("RequestResponse", "Event", "outbox")
MAX_NAME = 64
# Messages of one transaction, and the longest that it takes: if it fails, they are delivered again.
_BATCH, _FOR_A_BATCH = 10, 40.0
# Seconds that are left for the response.
_FOR_THE_RESPONSE = 0.5


class InvalidOrder(ValueError):
    """The event is not an order."""


class Context(Protocol):
    """The part of Lambda's context object that the handler uses."""

    def get_remaining_time_in_millis(self) -> int:
        """How long until Lambda ends the invocation."""


def handler(event: object, context: Context) -> dict[str, Any]:
    """Place an order, or deliver the outbox."""
    if not isinstance(event, dict):
        raise InvalidOrder(f"the event is a {type(event).__name__}; give an object")
    if event.get("deliver") is True:
        return _deliver(context)
    order = _parse(event)
    try:
        # Safe to repeat: an order is inserted once.
        stored = database.run(lambda connection: _insert(connection, order), seconds=_seconds(context))
    except (psycopg.IntegrityError, psycopg.InternalError) as error:  # no such item; the invocation failed
        said = filter(None, (error.diag.message_primary, error.diag.message_detail))
        return {**order, "accepted": False, "reason": " ".join(said) or str(error)}
    if stored != order:
        return {**order, "accepted": False, "reason": f"there is another order with this id: {stored}"}
    return {**order, "accepted": True}


def _seconds(context: Context) -> float:
    return context.get_remaining_time_in_millis() / 1000 - _FOR_THE_RESPONSE


def _insert(connection: Connection, order: dict[str, str]) -> dict[str, str]:
    """One transaction: order, trigger, and the check of the item. Return the order that has the id then."""
    connection.execute(
        "INSERT INTO orders (order_id, item, notify) VALUES (%(order_id)s, %(item)s, %(notify)s) "
        "ON CONFLICT (order_id) DO NOTHING",
        order,
    )
    rows = connection.execute("SELECT item, notify FROM orders WHERE order_id = %(order_id)s", order)
    ((item, notify),) = rows.fetchall()
    return {"order_id": order["order_id"], "item": item, "notify": notify}


def _deliver(context: Context) -> dict[str, int]:
    """Deliver one batch after the other, until none succeeds or there is no time for another."""
    delivered = failed = 0
    while True:
        succeeded, failed = database.run(_deliver_batch, seconds=_seconds(context))
        delivered += succeeded
        if not succeeded or _seconds(context) < _FOR_A_BATCH:
            break
    if failed:
        logger.error("messages were not delivered", extra={"failed": failed})
    return {"delivered": delivered, "failed": failed}


def _deliver_batch(connection: Connection) -> tuple[int, int]:
    ((delivered, failed),) = connection.execute("SELECT * FROM deliver_outbox(%s)", (_BATCH,)).fetchall()
    return delivered, failed


def _parse(event: dict[str, object]) -> dict[str, str]:
    order = {}
    for field in ("order_id", "item"):
        value = event.get(field)
        if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not _is_text(value):
            raise InvalidOrder(
                f"{field}: give a string of 1 to {MAX_NAME} characters without NUL or half of a character "
                "(a lone surrogate)"
            )
        order[field] = value
    notify = event.get("notify", "outbox")
    if notify not in NOTIFY:
        raise InvalidOrder(f"notify={notify!r}: give one of {', '.join(NOTIFY)}")
    return {**order, "notify": str(notify)}


def _is_text(value: str) -> bool:
    """Whether PostgreSQL can store it: no NUL, and all of it can be encoded as UTF-8."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False
