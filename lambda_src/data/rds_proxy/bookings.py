"""Bookings: what one is, what its receipt says, and what a database must do to make one."""

from dataclasses import dataclass
from typing import Any, Protocol

from shared.database import Driver

MAX_NAME = 64
MAX_AMOUNT = 10**12


class InvalidBooking(ValueError):
    """The event is not a booking."""


class RequestIdReused(ValueError):
    """A different booking was made under this request id."""


@dataclass(frozen=True)
class Booking:
    """An amount for an account.

    Args:
        request_id: Chosen by the caller, who sends the same one when it retries.
        account: Name of the account. The first booking creates it.
        amount: In the smallest unit of the currency; negative amounts are withdrawals.
    """

    request_id: str
    account: str
    amount: int


@dataclass(frozen=True)
class Receipt:
    """The result of a booking.

    Args:
        balance: Balance of the account right after the booking.
        replayed: Whether the booking existed already, so that this request changed nothing.
    """

    balance: int
    replayed: bool


class Engine(Driver, Protocol):
    """A database that makes bookings."""

    def book(self, connection: Any, booking: Booking) -> Receipt:
        """Make a booking in one transaction, once for its request id."""

    def migrate(self, connection: Any, user: str) -> None:
        """Create the tables and the function's user unless they exist."""


def parse(event: object) -> Booking:
    """Read a booking from an event.

    Raises:
        InvalidBooking: The event is not a booking; the message gives the reason.
    """
    if not isinstance(event, dict):
        raise InvalidBooking(f"the event is a {type(event).__name__}; give an object")
    amount = event.get("amount")
    if not isinstance(amount, int) or isinstance(amount, bool) or abs(amount) > MAX_AMOUNT:
        raise InvalidBooking(f"amount: give a whole number from -{MAX_AMOUNT:,} to {MAX_AMOUNT:,}")
    return Booking(_name(event, "request_id"), _name(event, "account"), amount)


def replay(existing: Booking, requested: Booking, balance: int) -> Receipt:
    """Return the receipt of a booking that exists already.

    Raises:
        RequestIdReused: The existing booking is a different one.
    """
    if existing != requested:
        raise RequestIdReused(
            f"request_id {requested.request_id!r} was used for another booking; choose a new one for each"
        )
    return Receipt(balance, replayed=True)


def _name(event: dict[str, object], field: str) -> str:
    value = event.get(field)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or "\0" in value:
        raise InvalidBooking(f"{field}: give a string of 1 to {MAX_NAME} characters without NUL")
    return value
