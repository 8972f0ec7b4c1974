"""What the function does: books amounts to accounts, each request once however often it comes."""

from dataclasses import dataclass

MAX_NAME = 64
MAX_AMOUNT = 10**12


class InvalidBooking(ValueError):
    """The event is no booking."""


class RequestIdReused(ValueError):
    """Another booking was made under this request id."""


@dataclass(frozen=True)
class Booking:
    """An amount for an account.

    Args:
        request_id: Chosen by the caller, the same when it tries again.
        account: Name of the account, made by its first booking.
        amount: In the smallest unit of the currency; negative takes away.
    """

    request_id: str
    account: str
    amount: int


@dataclass(frozen=True)
class Receipt:
    """What came of a booking.

    Args:
        balance: Of the account, right after the booking.
        replayed: Whether the booking had been made before, and nothing was done now.
    """

    balance: int
    replayed: bool


def parse(event: object) -> Booking:
    """Read a booking out of an event.

    Raises:
        InvalidBooking: It is none; the message says what is wrong.
    """
    if not isinstance(event, dict):
        raise InvalidBooking(f"the event is a {type(event).__name__}; give an object")
    amount = event.get("amount")
    if not isinstance(amount, int) or isinstance(amount, bool) or abs(amount) > MAX_AMOUNT:
        raise InvalidBooking(f"amount: give a whole number, at most {MAX_AMOUNT:,} in either direction")
    return Booking(_name(event, "request_id"), _name(event, "account"), amount)


def replay(made: Booking, asked: Booking, balance: int) -> Receipt:
    """Answer a request that was worked on before.

    Raises:
        RequestIdReused: It asked for something else then.
    """
    if made != asked:
        raise RequestIdReused(
            f"request_id {asked.request_id!r} was used for another booking; choose a new one for each"
        )
    return Receipt(balance, replayed=True)


def _name(event: dict[str, object], field: str) -> str:
    value = event.get(field)
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or "\0" in value:
        raise InvalidBooking(f"{field}: give text of 1 to {MAX_NAME} characters")
    return value
