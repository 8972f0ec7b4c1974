"""Deployment → tables, and the function's user with its rights, made as the owner of the database."""

import os

from shared.database import Database
from shared.login import Login, required

from .engine import choose_engine

SECONDS = 100.0


def handler(event: object, context: object) -> None:
    """Bring schema and user up to date. Safe to repeat."""
    engine, user = choose_engine(os.environ), required(os.environ, "FUNCTION_USER")
    database = Database(engine, Login.from_environment(os.environ))
    database.run(lambda connection: engine.migrate(connection, user), seconds=SECONDS)
