"""Postage by a tariff that is part of the code, so that each version has its own."""

import json
from dataclasses import dataclass
from pathlib import Path

_MAX_GRAMS = 31_500


class InvalidParcelError(ValueError):
    """The request does not describe a parcel; the message says what to give."""


@dataclass(frozen=True)
class Tariff:
    """Prices for a parcel.

    Args:
        name: Name of the tariff.
        base_cents: Price of any parcel.
        cents_per_kg: Price of each kilogram, the last one rounded up.
    """

    name: str
    base_cents: int
    cents_per_kg: int

    def quote(self, grams: int) -> int:
        """Return the postage of a parcel of this weight, in cents."""
        kilograms = -(-grams // 1000)
        return self.base_cents + kilograms * self.cents_per_kg


def load_tariff() -> Tariff:
    """Read ``tariff.json`` in the folder of this module."""
    return Tariff(**json.loads(Path(__file__).with_name("tariff.json").read_text("utf-8")))


def parse_weight(request: object) -> int:
    """Return the weight in a request, in grams.

    Raises:
        InvalidParcelError: There is none, or it is out of range.
    """
    grams = request.get("grams") if isinstance(request, dict) else None
    if isinstance(grams, bool) or not isinstance(grams, int) or not 0 < grams <= _MAX_GRAMS:
        raise InvalidParcelError(f"grams: give a whole number from 1 to {_MAX_GRAMS:,}.")
    return grams
