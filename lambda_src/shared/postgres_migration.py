"""Migration by the owner of a PostgreSQL database: its schema, and the rights of the function's user.

The user logs in with IAM (``rds_iam``), so it has no password. It may connect, and do with each table only
what the function does.

https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.IAMDBAuth.DBAccounts.html
"""

from collections.abc import Mapping, Sequence

from psycopg.sql import SQL, Identifier

from shared.postgres import Connection

_LOCK = 0x6D696772  # any number that nothing else in the database uses as a lock


def migrate(connection: Connection, steps: Sequence[str], *, user: str, rights: Mapping[str, str]) -> None:
    """Do the missing steps and grant the rights: all of it or nothing. A second time, nothing changes.

    Args:
        connection: A connection of the database's owner.
        steps: SQL from each version of the schema to the next. A released step never changes.
        user: The user that the function connects as; it is created unless it exists.
        rights: What the user may do with each table: ``{"accounts": "SELECT, INSERT"}``.
    """
    name, database = Identifier(user), Identifier(connection.info.dbname)
    with connection.transaction():
        # Of two that run CREATE TABLE IF NOT EXISTS at once, one fails. A lock of the transaction does not
        # pin the session of a proxy; one of the session would.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        connection.execute("CREATE TABLE IF NOT EXISTS migrations (step integer PRIMARY KEY)")
        done = {step for (step,) in connection.execute("SELECT step FROM migrations").fetchall()}
        for number, statements in enumerate(steps, 1):
            if number not in done:
                connection.execute(statements.encode())
                connection.execute("INSERT INTO migrations (step) VALUES (%s)", (number,))
        if not connection.execute("SELECT FROM pg_roles WHERE rolname = %s", (user,)).fetchall():
            connection.execute(SQL("CREATE ROLE {} LOGIN").format(name))
        connection.execute(SQL("GRANT rds_iam TO {}").format(name))
        # Not CONNECT: RDS Proxy's own user, rdsproxyadmin, connects by what PUBLIC may do.
        # https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-managing.html
        connection.execute(SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(database))
        connection.execute(SQL("GRANT CONNECT ON DATABASE {} TO {}").format(database, name))
        connection.execute(SQL("REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {}").format(name))
        for table, allowed in rights.items():
            connection.execute(SQL("GRANT " + allowed + " ON {} TO {}").format(Identifier(table), name))
