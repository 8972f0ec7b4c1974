"""Invocation → booking → one transaction in PostgreSQL or MySQL, through RDS Proxy.

The event is ``{"request_id", "account", "amount"}``. The response repeats it, with the balance of the account
after the booking, and whether the booking existed already. ``InvalidBooking`` and ``RequestIdReused`` are
permanent errors; after any other error the caller may send the same request again.
"""

import os
from dataclasses import asdict
from typing import Any, Protocol

from shared.startup import no_garbage_collection

with no_garbage_collection():
    from shared.database import Database
    from shared.login import Login

    from .bookings import parse
    from .engine import choose_engine

    engine = choose_engine(os.environ)

# Outside the handler: the connection outlives the invocation, and the next one uses it again.
database = Database(engine, Login.from_environment(os.environ))

# Seconds that are left for the response when all attempts at a booking took as long as they may.
_FOR_THE_RESPONSE = 0.5


class Context(Protocol):
    """The part of Lambda's context object that the handler uses."""

    def get_remaining_time_in_millis(self) -> int:
        """How long until Lambda ends the invocation."""


def handler(event: object, context: Context) -> dict[str, Any]:
    """Make a booking."""
    booking = parse(event)
    seconds = context.get_remaining_time_in_millis() / 1000 - _FOR_THE_RESPONSE
    # Safe to repeat: a booking is made once for each request id.
    receipt = database.run(lambda connection: engine.book(connection, booking), seconds=seconds)
    return {**asdict(booking), **asdict(receipt)}
