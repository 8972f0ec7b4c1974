"""The database engine that the environment names."""

from collections.abc import Mapping

from shared.login import required

from .bookings import Engine


def choose_engine(environment: Mapping[str, str]) -> Engine:
    """Import only the driver that is used: each adds tens of milliseconds to a cold start.

    Raises:
        ValueError: The engine is unknown.
    """
    engine: Engine
    match required(environment, "DB_ENGINE"):
        case "postgres":
            from . import postgres as engine
        case "mysql":
            from . import mysql as engine
        case other:
            raise ValueError(f"the environment variable DB_ENGINE={other!r}: give 'postgres' or 'mysql'")
    return engine
