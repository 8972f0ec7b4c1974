"""Connects to a deployed proxy as the user of a function, to see what that user may not do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from scenarios.framework import DeployedStack

# What the owner of a database may do and a function never needs.
FORBIDDEN = (
    *("CREATE TABLE mine (n int)", "CREATE TEMPORARY TABLE mine (n int)", "CREATE SCHEMA mine"),
    *("CREATE ROLE other", "CREATE DATABASE other", "ALTER ROLE CURRENT_USER CREATEROLE"),
    *("SET ROLE app_owner", "SELECT * FROM migrations", "SELECT * FROM pg_authid"),
)


def allowed(stack: DeployedStack, host: str, user: str, statements: Sequence[str]) -> list[str]:
    """Return which of these statements a user may run, through the proxy."""
    token = stack.session.client("rds").generate_db_auth_token(host, 5432, user)
    connection: psycopg.Connection[Any] = psycopg.connect(
        host=host, user=user, password=token, dbname="app", sslmode="require", autocommit=True
    )
    found = []
    with connection:
        for statement in statements:
            try:
                connection.execute(statement.encode(), prepare=False)
            except psycopg.errors.InsufficientPrivilege:
                continue
            found.append(statement)
    return found
