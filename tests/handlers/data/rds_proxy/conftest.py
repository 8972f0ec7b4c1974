"""Fixtures of this handler's tests: its settings, and a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import psycopg
import pytest

from localaws.engines.postgres.server import PostgresServer, temporary_server
from shared.login import Login
from shared.postgres import Connection, open_connection

ENVIRONMENT = {
    "DB_ENGINE": "postgres",
    "DB_HOST": "orders.proxy-c9akciq32rgv.eu-west-1.rds.amazonaws.com",
    "DB_PORT": "5432",
    "DB_NAME": "app",
    "DB_USER": "app",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "ASIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "IQoJb3JpZ2luX2VjE" + "aB3/x+9Q" * 60,
}


@pytest.fixture
def login() -> Login:
    """The login that the environment names."""
    return Login.from_environment(ENVIRONMENT)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The function's environment, with the credentials of its role."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return ENVIRONMENT


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server for these tests, with a database."""
    with temporary_server() as running:
        with psycopg.connect(running.get_uri(), autocommit=True) as admin:
            # Roles that every RDS for PostgreSQL has, the second one as soon as it has a proxy.
            admin.execute("CREATE ROLE rds_iam; CREATE ROLE rdsproxyadmin LOGIN")
            admin.execute("CREATE DATABASE app")
        yield running


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """The URI of the database, which is empty: emptying one is much faster than creating one."""
    uri = server.get_uri(database="app")
    yield uri
    with psycopg.connect(uri, autocommit=True) as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = 'app' AND pid <> pg_backend_pid()"
        )
        admin.execute("DROP SCHEMA public CASCADE")
        admin.execute("CREATE SCHEMA public AUTHORIZATION pg_database_owner")
        admin.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")
        if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = 'app'").fetchone():
            admin.execute("DROP OWNED BY app")
            admin.execute("DROP ROLE app")


@pytest.fixture
def connect(login: Login, database: str) -> Iterator[Callable[..., Connection]]:
    """Opens connections as the handler does, but to that server, which has neither TLS nor tokens."""
    real = psycopg.connect
    opened = []
    target = database

    def without_tls(uri: str | None = None, **options: Any) -> Any:
        if uri is not None:  # a test's own connection
            return real(uri, **options)
        for name in ("host", "port", "dbname", "user", "password", "sslmode", "sslrootcert"):
            del options[name]
        opened.append(real(target, **options))
        return opened[-1]

    def to_server(uri: str = database) -> Connection:
        nonlocal target
        target = uri
        return open_connection(login, "token", name="rds-proxy")

    with mock.patch.object(psycopg, "connect", without_tls):
        yield to_server
    for connection in opened:
        connection.close()
