"""Partners, found by the hash of their token: who reads the table cannot call the API."""

import hashlib
from dataclasses import dataclass
from typing import Any

_METHODS = {"read": ("GET", "HEAD"), "write": ("GET", "HEAD", "PUT", "DELETE")}
_SCHEME = "bearer "


@dataclass(frozen=True)
class Partner:
    """A partner.

    Args:
        name: Its name.
        access: ``read`` or ``write``.
    """

    name: str
    access: str

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it may use."""
        return _METHODS[self.access]

    def may(self, method: str) -> bool:
        """Whether it may use a method."""
        return method in self.methods


class Partners:
    """The table of partners, whose key is the SHA-256 of the token.

    Args:
        dynamodb: A client of DynamoDB.
        table: Its name.
    """

    def __init__(self, dynamodb: Any, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def find(self, authorization: str) -> Partner | None:
        """Return the partner of an Authorization header, ``Bearer TOKEN``, unless its access is unknown."""
        if not authorization.lower().startswith(_SCHEME):
            return None
        key = {"token_hash": {"S": token_hash(authorization[len(_SCHEME) :].strip())}}
        # Consistent: a new token works at once, and a deleted one is not found.
        found = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        item = found.get("Item")
        if not item or item["access"]["S"] not in _METHODS:
            return None
        return Partner(item["partner"]["S"], item["access"]["S"])


def token_hash(token: str) -> str:
    """Return the key of a token. Tokens are long and random, so that a plain hash is enough."""
    return hashlib.sha256(token.encode()).hexdigest()
