"""A net price → the price with tax, and the release that calculated it.

``release.json`` is part of the archive: each build has its own, so every answer says which code runs.
"""

import json
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

_RELEASE = json.loads(Path(__file__).with_name("release.json").read_text())
_CENT = Decimal("0.01")


class InvalidPriceError(ValueError):
    """The request has no price; the message says what to give."""


def handler(event: Any, _context: Any) -> dict[str, str]:
    """Return the gross price of ``{"net": "100.00"}``."""
    gross = (_net_of(event) * (1 + Decimal(_RELEASE["tax"]))).quantize(_CENT)
    return {"gross": str(gross), "release": _RELEASE["release"]}


def _net_of(event: object) -> Decimal:
    given = event.get("net") if isinstance(event, dict) else None
    try:
        net = Decimal(given) if isinstance(given, str) else Decimal("NaN")
    except InvalidOperation:
        net = Decimal("NaN")
    if not net.is_finite() or not 0 <= net <= 1_000_000:
        raise InvalidPriceError('net: give a price from "0" to "1000000" as text.')
    return net
