"""The table that the settings name. Only its own driver is imported: each one makes the start longer."""

import os

from shared.clients import make_clients

from .objects import Table
from .settings import Settings


def make_table(settings: Settings) -> Table:
    """Make the table: DynamoDB's, or PostgreSQL's with the connection that the environment describes."""
    bucket, seconds, state = settings.bucket, settings.tombstone_seconds, settings.state_name
    if settings.target == "dynamodb":
        from .dynamodb import DynamoTable

        [client] = make_clients("dynamodb")
        return DynamoTable(client, settings.table_name, bucket, tombstone_seconds=seconds, state_name=state)
    from .postgres import PostgresTable, make_database

    return PostgresTable(make_database(os.environ), bucket, tombstone_seconds=seconds, state_name=state)
