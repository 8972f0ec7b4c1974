"""What a parcel costs: a table that is in the image, below the code."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self


class InvalidParcel(ValueError):
    """A parcel that has no price; the text says why."""


@dataclass(frozen=True)
class Postage:
    """Prices by weight, and how much more each zone costs, in percent."""

    zones: dict[str, int]
    weights: list[tuple[int, int]]

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read the table."""
        found = json.loads(file.read_text("utf-8"))
        return cls(found["zones"], [(grams, cents) for grams, cents in found["weights"]])

    def price(self, parcel: Any) -> int:
        """Return the price of a parcel in cents.

        Raises:
            InvalidParcel: It has no weight or zone in the table.
        """
        zone, grams = (parcel.get(name) if isinstance(parcel, dict) else None for name in ("zone", "grams"))
        if not isinstance(zone, str) or zone not in self.zones:
            raise InvalidParcel(f"zone must be one of {', '.join(self.zones)}, not {zone!r}")
        if not isinstance(grams, int) or isinstance(grams, bool) or grams <= 0:
            raise InvalidParcel(f"grams must be a whole number above 0, not {grams!r}")
        for limit, cents in self.weights:
            if grams <= limit:
                return cents * self.zones[zone] // 100
        raise InvalidParcel(f"grams must be at most {self.weights[-1][0]}, not {grams}")
