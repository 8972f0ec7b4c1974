"""The settings of the function, from its environment variables, checked once when it starts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from shared.login import Login, required

ENGINES = ("postgres", "mysql")


@dataclass(frozen=True, kw_only=True)
class Settings(Login):
    """Where the database is, and who connects.

    Args:
        engine: ``"postgres"`` or ``"mysql"``.
    """

    engine: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **others: str) -> Self:
        """Read and check the environment variables.

        Raises:
            ValueError: One is missing or not allowed; the message says which, and what is allowed.
        """
        engine = required(environment, "DB_ENGINE")
        if engine not in ENGINES:
            raise ValueError(f"the environment variable DB_ENGINE={engine!r}: give 'postgres' or 'mysql'")
        return super().from_environment(environment, engine=engine, **others)
