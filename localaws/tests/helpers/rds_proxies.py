"""A proxy in front of a real PostgreSQL, in the process of the test, which provides the account."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import tempfile
import threading
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from localaws.engines.postgres.connection import Connection
from localaws.engines.postgres.endpoint import Endpoint, reserve
from localaws.engines.postgres.server import SUPERUSER, PostgresServer
from localaws.engines.rds_proxy.proxy import Proxy
from localaws.engines.rds_proxy.settings import Credentials, Settings
from localaws.server import certificates

T = TypeVar("T")

TOKEN = "a-token"
PASSWORD = "a-password"


class Account:
    """The account of the proxy, which the test can change.

    Attributes:
        how: The proxy's settings.
        iam: The IAM authentication of its secret.
        password: The password in its secret.
        logged: The log of the proxy.
        published: The metrics of the proxy.
    """

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self.how = Settings(
            socket=server.socket, max_connections=4, borrow_timeout=10, idle_timeout=600, require_tls=True
        )
        self.iam = "REQUIRED"
        self.password = PASSWORD
        self.logged: list[str] = []
        self.published: list[Mapping[str, float]] = []

    def settings(self) -> Settings:
        """The settings of the test, while the database is running."""
        return self.how if self._server.running else dataclasses.replace(self.how, socket=None)

    def credentials(self, role: str) -> Credentials | None:
        """A secret of one role."""
        return Credentials(self.password, self.iam) if role == "app" else None

    def admits(self, role: str, token: str, host: str, port: int) -> bool:
        """A token."""
        return token == TOKEN

    def log(self, message: str) -> None:
        """Store the message."""
        self.logged.append(message)

    def publish(self, metrics: Mapping[str, float]) -> None:
        """Store the metrics."""
        self.published.append(metrics)


class Proxied:
    """A database with 20 connections, and a proxy in front of it.

    Args:
        folder: A private folder.
    """

    def __init__(self, folder: Path) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self.ca = certificates.make_certificates(folder, "us-east-1").authority
        self.server = PostgresServer(folder)
        self.server.create()
        self.start()
        self.sql(f"create role app login password '{PASSWORD}'", "create database app owner app")
        self.renew()

    def renew(self) -> None:
        """A new proxy with the usual settings."""
        self.account = Account(self.server)
        self.proxy = Proxy(self.account)
        listener = reserve(5432)
        self.address: str = listener.getsockname()[0]
        context = certificates.server_context("proxy", [self.address])
        proxy = self.proxy
        self.endpoint = Endpoint(listener, context, lambda client: proxy.serve(client, self.address, 5432))
        self.run(self.endpoint.open())
        self.run(self.proxy.open())

    def end_proxy(self) -> None:
        """End the proxy, not the database."""

        async def close() -> None:
            self.endpoint.close()
            self.proxy.close()

        self.run(close())

    def end(self) -> None:
        """End everything."""
        self.end_proxy()
        self.server.destroy()
        self._loop.call_soon_threadsafe(self._loop.stop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the event loop of the proxy."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def start(self) -> None:
        """Start the database."""
        self.server.start({"max_connections": "20"})

    def set(self, **settings: Any) -> None:
        """Change settings of the proxy."""
        self.account.how = dataclasses.replace(self.account.how, **settings)

    def sql(self, *statements: str) -> list[list[str | None]]:
        """Run statements as superuser, without the proxy."""

        async def run() -> list[list[str | None]]:
            connection = await Connection.open(self.server.socket, SUPERUSER, "", "postgres")
            try:
                rows = []
                for statement in statements:
                    rows = await connection.query(statement)
                return rows
            finally:
                connection.close()

        return self.run(run())

    def connect(self, **changed: Any) -> psycopg.Connection[tuple[Any, ...]]:
        """A client as AWS recommends: it verifies the certificate, and does not prepare statements."""
        how = {
            "host": self.address,
            "user": "app",
            "password": TOKEN,
            "dbname": "app",
            "sslmode": "verify-full",
            "sslrootcert": str(self.ca),
            "autocommit": True,
            "prepare_threshold": None,
        }
        return psycopg.connect(**how | changed)  # type: ignore[arg-type]

    def measure(self) -> dict[str, int]:
        """The proxy's metrics."""

        async def measure() -> dict[str, int]:
            return self.proxy.measure()

        return self.run(measure())


@contextmanager
def proxied() -> Iterator[Proxied]:
    """A database and a proxy, for the duration of the block."""
    with tempfile.TemporaryDirectory(prefix="rds-") as folder:
        before = Path.cwd()
        os.chdir(folder)  # the paths of sockets must be short
        try:
            made = Proxied(Path(folder))
            try:
                yield made
            finally:
                made.end()
        finally:
            os.chdir(before)


def server_pid(client: psycopg.Connection[Any]) -> int:
    """The process of the database that currently serves a client."""
    row = client.execute("select pg_backend_pid()").fetchone()
    assert row
    pid: int = row[0]
    return pid
