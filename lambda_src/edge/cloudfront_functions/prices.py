"""Prices in a currency, with names in a language."""

import re
from decimal import Decimal

_CENTS = {"eur": Decimal(1), "usd": Decimal("1.10"), "gbp": Decimal("0.85")}
_NAMES = {"de": {"tea": "Tee", "bread": "Brot"}, "fr": {"tea": "thé", "bread": "pain"}}
_PRICES = {"tea": Decimal("3.20"), "bread": Decimal("4.50")}


class UnknownCurrencyError(ValueError):
    """There are no prices in this currency."""


def prices(currency: str, language: str) -> dict[str, object]:
    """Return the prices.

    Args:
        currency: Three letters.
        language: What the viewer prefers; English if it is none of the known ones.

    Raises:
        UnknownCurrencyError: There are no prices in this currency.
    """
    if currency.lower() not in _CENTS:
        raise UnknownCurrencyError(f"currency={currency!r}: there are prices in {', '.join(sorted(_CENTS))}.")
    first = re.split(r"[-,; ]", language.lower())[0]  # `den` is not `de`
    known = first if first in _NAMES else "en"
    names = _NAMES.get(known, {})
    rate = _CENTS[currency.lower()]
    found = {names.get(item, item): f"{price * rate:.2f}" for item, price in _PRICES.items()}
    return {"currency": currency.lower(), "language": known, "prices": found}
