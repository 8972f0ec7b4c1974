"""Signed links: who has one can show that this service made it."""

import hmac
import re

_ORDER = re.compile(r"[A-Za-z0-9-]{1,64}")


class InvalidOrderError(ValueError):
    """The request names no order; the message says what to give."""


class InvalidSecretError(ValueError):
    """The secret is none that links can be signed with; the message says what to do."""


def key_in(secret: object) -> str:
    """The key in the value of a secret.

    Raises:
        InvalidSecretError: It is binary or blank; the message does not contain it.
    """
    if isinstance(secret, str) and secret.strip():
        return secret
    found = "blank" if isinstance(secret, str) else "binary"
    raise InvalidSecretError(
        f"the value of the secret is {found}: give it text (SecretString), the key itself."
    )


def order_in(request: object) -> str:
    """The order of a request.

    Raises:
        InvalidOrderError: There is none.
    """
    order = request.get("order") if isinstance(request, dict) else None
    if not isinstance(order, str) or not _ORDER.fullmatch(order):
        raise InvalidOrderError("order: give 1 to 64 letters, digits and hyphens.")
    return order


def signed_link(base: str, order: str, key: str) -> str:
    """The link to an order, with a signature by the key."""
    signature = hmac.new(key.encode(), order.encode(), "sha256").hexdigest()
    return f"{base}?order={order}&signature={signature}"
