"""Deployment → extension, tables and functions, made as the owner of the database."""

import os

from shared.database import Database
from shared.login import Login, required

from . import postgres

SECONDS = 100.0


def handler(event: object, context: object) -> None:
    """Bring the schema up to date. Safe to repeat."""
    user, receiver = required(os.environ, "FUNCTION_USER"), required(os.environ, "RECEIVER_ARN")
    database = Database(postgres, Login.from_environment(os.environ))
    database.run(
        lambda connection: postgres.migrate(connection, user=user, receiver=receiver), seconds=SECONDS
    )
