"""The settings of both functions, read from their environment variables when they start."""

import hashlib
import json
from collections.abc import Mapping
from typing import Literal, NamedTuple, cast

from shared.environment import boolean, name, read

Target = Literal["dynamodb", "postgres"]

_DAY = 24 * 60 * 60


class Settings(NamedTuple):
    """Which objects have rows, what is in a row, and where the rows are.

    Args:
        target: Where the rows are.
        table_name: The DynamoDB table; empty for PostgreSQL.
        bucket: The bucket.
        prefix: Only keys that start with this.
        suffixes: Only keys that end with one of these; all keys if there are none.
        user_metadata: Whether rows have the user-defined metadata.
        tags: Whether rows have the tags, which takes one more call for each event.
        tombstone_seconds: How long the row of a deleted object is retained.
    """

    target: Target
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
            ValueError: One is missing or not allowed; the message names it and says what is allowed.
        """
        target = read(environment, "TARGET", _target)
        return cls(
            target=target,
            table_name=read(environment, "TABLE_NAME", name) if target == "dynamodb" else "",
            bucket=read(environment, "BUCKET_NAME", name),
            prefix=read(environment, "PREFIX", str),
            suffixes=read(environment, "SUFFIXES", _strings),
            user_metadata=read(environment, "USER_METADATA", boolean),
            tags=read(environment, "TAGS", boolean),
            tombstone_seconds=read(environment, "TOMBSTONE_DAYS", whole_number) * _DAY,
        )

    @property
    def state_name(self) -> str:
        """The name of the reconciler's state: several functions may share a table and even a bucket."""
        if not (self.prefix or self.suffixes):
            return self.bucket
        selection = json.dumps([self.prefix, self.suffixes]).encode()
        return f"{self.bucket}/{hashlib.sha256(selection).hexdigest()}"

    def matches(self, key: str) -> bool:
        """Whether an object with this key has a row."""
        return key.startswith(self.prefix) and (not self.suffixes or key.endswith(self.suffixes))


def whole_number(value: str) -> int:
    """Read a number, 1 or more.

    Raises:
        ValueError: It is none.
    """
    if not (value.isascii() and value.isdecimal() and 1 <= int(value) < 10**9):
        raise ValueError("give a whole number, 1 or more")
    return int(value)


def _target(value: str) -> Target:
    if value not in ("dynamodb", "postgres"):
        raise ValueError("give 'dynamodb' or 'postgres'")
    return cast(Target, value)


def _strings(value: str) -> tuple[str, ...]:
    strings = json.loads(value) if value.startswith("[") else None
    if not isinstance(strings, list) or not all(isinstance(one, str) and one for one in strings):
        raise ValueError("give a JSON list of strings, such as '[\".jpg\"]'")
    return tuple(strings)
