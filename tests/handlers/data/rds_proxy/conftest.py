"""What the tests of this handler share: its modules, a real PostgreSQL, and servers that TLS fails on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any
from unittest import mock

import psycopg
import pytest

from localaws.engines.postgres.server import PostgresServer, temporary_server
from tests.handlers.loading import LoadedHandler

ENVIRONMENT = {
    "DB_ENGINE": "postgres",
    "DB_HOST": "orders.proxy-abc.eu-west-1.rds.amazonaws.com",
    "DB_PORT": "5432",
    "DB_NAME": "app",
    "DB_USER": "app_owner",
    "AWS_REGION": "eu-west-1",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "session",
}


@pytest.fixture(scope="session")
def rds_proxy(load: Callable[..., LoadedHandler]) -> LoadedHandler:
    """The modules of the handler, set up for PostgreSQL."""
    return load("data", "rds-proxy", environment=ENVIRONMENT)


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """The function's environment, with the credentials of its role."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    return ENVIRONMENT


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of its own."""
    with temporary_server() as running:
        yield running


@pytest.fixture
def database(server: PostgresServer) -> Iterator[str]:
    """An empty database, as what psycopg connects to."""
    with psycopg.connect(server.get_uri(), autocommit=True) as admin:
        admin.execute("CREATE DATABASE app")
        yield server.get_uri(database="app")
        admin.execute("DROP DATABASE app WITH (FORCE)")


@pytest.fixture
def connect(rds_proxy: LoadedHandler, database: str) -> Iterator[Callable[..., Any]]:
    """Opens connections as the handler does, but to that server, which has neither TLS nor tokens."""
    real = psycopg.connect
    opened = []
    target = database

    def without_tls(uri: str | None = None, **options: Any) -> Any:  # noqa: ANN401 - passed on
        if uri is not None:  # a test's own connection
            return real(uri, **options)
        for name in ("host", "port", "dbname", "user", "password", "sslmode", "sslrootcert"):
            del options[name]
        opened.append(real(target, **options))
        return opened[-1]

    def open_connection(uri: str = database) -> Any:  # noqa: ANN401 - the driver's own type
        nonlocal target
        target = uri
        return rds_proxy.postgres.connect(settings, "token")

    settings = rds_proxy.settings.Settings.from_environment(ENVIRONMENT)
    with mock.patch.object(rds_proxy.postgres.psycopg, "connect", without_tls):
        yield open_connection
    for connection in opened:
        connection.close()
