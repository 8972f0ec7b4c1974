"""What the two databases have in common, as the rest of the function sees them."""

from typing import Any, Protocol

from bookings import Booking, Receipt

from shared.database import Driver


class Engine(Driver, Protocol):
    """A database and its driver."""

    def book(self, connection: Any, booking: Booking) -> Receipt:
        """Make a booking in one transaction, once for its request id."""
