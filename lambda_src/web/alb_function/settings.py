"""The settings of the function, from its environment variables, checked once when it starts."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

_ORIGIN = re.compile(r"\*|https?://[^/\s,]+")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the notes are, and who may ask for them from a browser.

    Args:
        table_name: The table.
        index_name: Its index by time.
        cors_origins: Origins whose pages may use the service; none if empty.
    """

    table_name: str
    index_name: str
    cors_origins: tuple[str, ...]

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read and check the environment variables.

        Raises:
            ValueError: One is missing or not allowed; the message says which, and what is allowed.
        """
        for name in ("TABLE_NAME", "INDEX_NAME"):
            if not environment.get(name):
                raise ValueError(f"the environment variable {name} is missing; set it on the function")
        origins = tuple(environment.get("CORS_ORIGINS", "").split())
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"the environment variable CORS_ORIGINS names {origin!r}: give origins such as "
                    "'https://example.com', separated by spaces, or '*'"
                )
        return cls(
            table_name=environment["TABLE_NAME"],
            index_name=environment["INDEX_NAME"],
            cors_origins=origins,
        )
