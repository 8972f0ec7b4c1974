"""The settings of both functions, from their environment variables, checked once when they start."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from shared.environment import name, read

_DAY = 24 * 60 * 60


class Settings(NamedTuple):
    """Which objects are followed, and where their rows go.

    Args:
        target: ``"dynamodb"`` or ``"postgres"``.
        table_name: The DynamoDB table.
        bucket: The bucket.
        prefix: What the keys of the objects start with.
        suffixes: What they end with, one of them; none means any.
        user_metadata: Whether rows have the user-defined metadata.
        tags: Whether rows have the tags, at the cost of a call for each event.
        tombstone_seconds: How long it is remembered that an object was deleted.
    """

    target: str
    table_name: str
    bucket: str
    prefix: str
    suffixes: tuple[str, ...]
    user_metadata: bool
    tags: bool
    tombstone_seconds: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read and check the environment variables.

        Raises:
            ValueError: One is missing or not allowed; the message says which, and what is allowed.
        """
        target = read(environment, "TARGET", _target)
        return cls(
            target=target,
            table_name=read(environment, "TABLE_NAME", name) if target == "dynamodb" else "",
            bucket=read(environment, "BUCKET_NAME", name),
            prefix=read(environment, "PREFIX", str),
            suffixes=read(environment, "SUFFIXES", _texts),
            user_metadata=read(environment, "USER_METADATA", _truth),
            tags=read(environment, "TAGS", _truth),
            tombstone_seconds=read(environment, "TOMBSTONE_DAYS", whole_number) * _DAY,
        )

    def follows(self, key: str) -> bool:
        """Whether an object with this key is followed."""
        return key.startswith(self.prefix) and (not self.suffixes or key.endswith(self.suffixes))


def whole_number(value: str) -> int:
    """Read a number, 1 or more."""
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) < 10**9):
        raise ValueError("give a whole number, 1 or more")
    return int(value)


def _target(value: str) -> str:
    if value not in ("dynamodb", "postgres"):
        raise ValueError("give 'dynamodb' or 'postgres'")
    return value


def _truth(value: str) -> bool:
    if value not in ("true", "false"):
        raise ValueError("give 'true' or 'false'")
    return value == "true"


def _texts(value: str) -> tuple[str, ...]:
    try:
        texts = json.loads(value)
    except ValueError:
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) and text for text in texts):
        raise ValueError("give a JSON list of texts, as in '[\".jpg\"]'")
    return tuple(texts)
