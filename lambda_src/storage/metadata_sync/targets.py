"""Where rows go, as the settings say. Only what the target needs is loaded: each driver costs a start."""

import os
from typing import TYPE_CHECKING, NamedTuple

from settings import Settings

if TYPE_CHECKING:
    from objects import Rows, States

    from shared.clients import Client


class Target(NamedTuple):
    """The rows of the bucket, and the state of its reconciler."""

    rows: "Rows"
    states: "States"


def services(settings: Settings) -> list[str]:
    """Name the services of AWS that the target needs clients of."""
    return ["dynamodb"] if settings.target == "dynamodb" else []


def make_target(settings: Settings, *clients: "Client") -> Target:
    """Make the target.

    Args:
        settings: Which, and for which bucket.
        clients: Of the services that it needs.
    """
    if settings.target == "dynamodb":
        from dynamodb import DynamoRows, DynamoStates

        [dynamodb] = clients
        table, bucket = settings.table_name, settings.bucket
        return Target(
            DynamoRows(dynamodb, table, bucket, tombstone_seconds=settings.tombstone_seconds),
            DynamoStates(dynamodb, table, bucket),
        )
    from postgres import PostgresRows, PostgresStates, make_database

    database = make_database(os.environ)
    return Target(
        PostgresRows(database, settings.bucket, tombstone_seconds=settings.tombstone_seconds),
        PostgresStates(database, settings.bucket),
    )
