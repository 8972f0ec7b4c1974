"""What the two databases have in common, as the rest of the function sees them."""

from enum import Enum
from typing import Any, Protocol

from bookings import Booking, Receipt
from settings import Settings


class Trouble(Enum):
    """What to do about an error of a database."""

    BROKEN = "the connection is of no use any more, or could not be made: make another and try again"
    BUSY = "the transaction lost against others and was rolled back: try it again"
    NO_TABLES = "the tables are not there: make them and try again"
    FINAL = "it would fail again: tell the caller"


class Engine(Protocol):
    """A database and its driver."""

    errors: tuple[type[Exception], ...]

    def connect(self, settings: Settings, token: str) -> Any:  # noqa: ANN401 - the driver's own type
        """Open a connection, over TLS, to the host that its certificate names and to no other."""

    def diagnose(self, error: Exception) -> Trouble:
        """Tell what to do about an error."""

    def is_open(self, connection: Any) -> bool:  # noqa: ANN401 - the driver's own type
        """Whether the driver still thinks that the connection is good. Costs no round trip."""

    def book(self, connection: Any, booking: Booking) -> Receipt:  # noqa: ANN401 - the driver's own type
        """Make a booking in one transaction, once for its request id."""

    def make_tables(self, connection: Any) -> None:  # noqa: ANN401 - the driver's own type
        """Make the tables, unless they are there."""
