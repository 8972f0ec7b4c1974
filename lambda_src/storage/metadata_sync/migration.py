"""Deployment → tables in PostgreSQL, and the functions' user with its rights, as the database's owner."""

import os

from shared.database import Database
from shared.login import Login, required
from shared.postgres import Connection
from shared.postgres_migration import migrate as bring_up_to_date

from .postgres import Driver

SECONDS = 100.0

# The steps from one version of the schema to the next. A released step never changes; another one corrects
# it.
_SCHEMA = (
    """
CREATE TABLE objects (
    bucket text NOT NULL,
    key text COLLATE "C" NOT NULL,
    version_id text,
    size bigint,
    etag text,
    checksum text,
    storage_class text,
    content_type text,
    last_modified timestamptz,
    restore text,
    restored_until timestamptz,
    replication_status text,
    metadata jsonb,
    tags jsonb,
    event_name text NOT NULL,
    event_time text NOT NULL,
    sequencer text COLLATE "C",
    revision bigint NOT NULL,
    looked_at bigint NOT NULL DEFAULT 0,
    deleted boolean NOT NULL,
    expires_at bigint,
    PRIMARY KEY (bucket, key)
);
CREATE INDEX objects_by_last_modified ON objects (bucket, last_modified) WHERE NOT deleted;
CREATE INDEX objects_expired ON objects (bucket, expires_at) WHERE deleted;
CREATE TABLE reconciliations (
    bucket text PRIMARY KEY,
    state text NOT NULL,
    revision bigint NOT NULL
)""",
)
_RIGHTS = {"objects": "SELECT, INSERT, UPDATE, DELETE", "reconciliations": "SELECT, INSERT, UPDATE"}


def migrate(connection: Connection, user: str) -> None:
    """Create the tables and the functions' user unless they exist."""
    bring_up_to_date(connection, _SCHEMA, user=user, rights=_RIGHTS)


def handler(event: object, context: object) -> None:
    """Bring schema and user up to date. Safe to repeat."""
    user = required(os.environ, "FUNCTION_USER")
    database = Database(Driver(), Login.from_environment(os.environ))
    database.run(lambda connection: migrate(connection, user), seconds=SECONDS)
