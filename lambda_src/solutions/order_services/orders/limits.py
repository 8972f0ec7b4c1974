"""What an order may be: for a request, and for an item that the table's stream delivers."""

import re
from typing import Any

from shared.storable import NotStorable, check_text

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOST_PIECES = 1_000


def is_id(text: str) -> bool:
    """Whether a text is a UUID in lower case, as the name of an execution may be."""
    return _ID.fullmatch(text) is not None


def wanted_of(given: Any) -> dict[str, Any]:
    """Return product and quantity of an order.

    Raises:
        NotStorable: One of them is missing, or is not allowed.
    """
    if not isinstance(given, dict):
        raise NotStorable("it is no object")
    # The name of a product is part of a key, which has at most 1,024 bytes.
    product = check_text("product", given.get("product"), max_characters=256, max_bytes=1_024)
    quantity = given.get("quantity")
    if type(quantity) is not int or not 1 <= quantity <= _MOST_PIECES:
        raise NotStorable(f"quantity must be a whole number from 1 to {_MOST_PIECES:,}")
    return {"product": product, "quantity": quantity}
