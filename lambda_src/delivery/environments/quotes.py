"""What it costs to send a parcel, by a tariff that comes with the code: each version has its own."""

import json
from dataclasses import dataclass
from pathlib import Path

_HEAVIEST_GRAMS = 31_500


class InvalidParcelError(ValueError):
    """The request describes no parcel; the message says what is missing."""


@dataclass(frozen=True)
class Tariff:
    """What a parcel costs.

    Args:
        name: What the tariff is called.
        base_cents: For any parcel.
        cents_per_kg: For each kilogram that has begun.
    """

    name: str
    base_cents: int
    cents_per_kg: int

    def quote(self, grams: int) -> int:
        """What a parcel of this weight costs, in cents."""
        begun = -(-grams // 1000)
        return self.base_cents + begun * self.cents_per_kg


def load_tariff() -> Tariff:
    """Read the tariff beside this file."""
    return Tariff(**json.loads(Path(__file__).with_name("tariff.json").read_text("utf-8")))


def parse_weight(request: object) -> int:
    """Take a parcel's weight out of a request.

    Raises:
        InvalidParcelError: There is none, or no such parcel is carried.
    """
    grams = request.get("grams") if isinstance(request, dict) else None
    if isinstance(grams, bool) or not isinstance(grams, int) or not 0 < grams <= _HEAVIEST_GRAMS:
        raise InvalidParcelError(f"grams: give a whole number from 1 to {_HEAVIEST_GRAMS:,}.")
    return grams
