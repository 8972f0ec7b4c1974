"""The schema of the database, in steps that are done once each, whoever tries how often."""

from shared.postgres import Connection

_LOCK = 0x6D657461  # any number that nothing else in the database locks

# A step that was released is never changed; what is wrong with it is mended by a further one.
_STEPS = (
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


def migrate(connection: Connection) -> None:
    """Do the steps that were not done yet, all of them or none."""
    with connection.transaction():
        # CREATE TABLE IF NOT EXISTS by two at once fails for one of them. A lock of the transaction, unlike
        # one of the session, does not pin.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (step integer PRIMARY KEY)")
        done = {step for (step,) in connection.execute("SELECT step FROM migrations").fetchall()}
        for number, statements in enumerate(_STEPS, 1):
            if number not in done:
                connection.execute(statements.encode())
                connection.execute("INSERT INTO migrations (step) VALUES (%s)", (number,))
