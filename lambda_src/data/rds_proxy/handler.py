"""A booking comes in, and goes into the database once: ``{"request_id", "account", "amount"}``.

Answers with the booking, the account's balance after it, and whether the booking had been made before. It
fails with ``InvalidBooking`` or ``RequestIdReused`` for what can never succeed; after any other error the
caller may send the same request again.
"""

import os
from dataclasses import asdict
from typing import Any, Protocol

from bookings import parse
from engine import Engine
from settings import Settings

from shared.database import Database

_settings = Settings.from_environment(os.environ)

# One driver is loaded, because each costs a cold start some tens of milliseconds.
_engine: Engine
if _settings.engine == "mysql":
    import mysql

    _engine = mysql
else:
    import postgres

    _engine = postgres

# Outside of the handler: the connection outlives the invocation, and the next one finds it open.
_database = Database(_engine, _settings)

# What is left of an invocation for the answer, when everything before it took as long as it may.
_FOR_THE_ANSWER = 0.5


class Context(Protocol):
    """What of Lambda's context is used here."""

    def get_remaining_time_in_millis(self) -> int:
        """How long until Lambda ends the invocation."""


def handler(event: object, context: Context) -> dict[str, Any]:
    """Make a booking."""
    booking = parse(event)
    seconds = context.get_remaining_time_in_millis() / 1000 - _FOR_THE_ANSWER
    # May be done again: a booking is made once for its request id.
    receipt = _database.run(lambda connection: _engine.book(connection, booking), seconds=seconds)
    return {**asdict(booking), **asdict(receipt)}
