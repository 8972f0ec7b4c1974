"""The tariff: a price by distance, for each pair of cities."""

from __future__ import annotations

import itertools
import json
import math
from decimal import Decimal
from pathlib import Path

_EARTH_KM = 6371.0
_BASE, _PER_KM = Decimal("3.90"), Decimal("0.004")
_CENT = Decimal("0.01")

Place = tuple[float, float]  # latitude and longitude, in degrees


class UnknownCityError(ValueError):
    """The request does not name two cities of the tariff; the message says what to give."""


class Tariff:
    """Prices between cities.

    Args:
        cities: Where each is.
    """

    def __init__(self, cities: dict[str, Place]) -> None:
        self._cities = sorted(cities)
        self._km = {
            frozenset((one, other)): distance(cities[one], cities[other])
            for one, other in itertools.combinations_with_replacement(cities, 2)
        }

    @classmethod
    def load(cls) -> Tariff:
        """The tariff in the function's code."""
        listed = json.loads(Path(__file__).with_name("cities.json").read_text(encoding="utf-8"))
        return cls({name: (latitude, longitude) for name, (latitude, longitude) in listed.items()})

    def __len__(self) -> int:
        return len(self._km)

    def price(self, request: object) -> Decimal:
        """The price of a request with the cities ``from`` and ``to``.

        Raises:
            UnknownCityError: A city is missing or unknown.
        """
        asked = request if isinstance(request, dict) else {}
        for name in ("from", "to"):
            if not isinstance(asked.get(name), str) or asked[name] not in self._cities:
                raise UnknownCityError(f"{name}: give one of {', '.join(self._cities)}.")
        km = self._km[frozenset((asked["from"], asked["to"]))]
        return (_BASE + _PER_KM * round(km)).quantize(_CENT)


def distance(one: Place, other: Place) -> float:
    """The distance over the surface of the earth in km (haversine)."""
    (lat, lon), (lat_2, lon_2) = ([math.radians(degrees) for degrees in place] for place in (one, other))
    half = math.sin((lat_2 - lat) / 2) ** 2
    half += math.cos(lat) * math.cos(lat_2) * math.sin((lon_2 - lon) / 2) ** 2
    return 2 * _EARTH_KM * math.asin(math.sqrt(half))
