"""PostgreSQL servers of instances and clusters, and the addresses of their endpoints.

`rds.instances` starts and ends them with the records of the emulator's RDS.

Each endpoint (of an instance; of a cluster, for writing and for reading) is an address of its own on the
loopback network, with the port that was asked for and a certificate for the address. It is an address and not
a name because few systems resolve names below `localhost`, and none to a second address.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from localaws.engines.postgres.connection import Connection
from localaws.engines.postgres.endpoint import Endpoint, Serve, reserve
from localaws.engines.postgres.relay import Relay
from localaws.engines.postgres.requests import Answer
from localaws.engines.postgres.server import SUPERUSER, PostgresServer, known_settings
from localaws.server.certificates import server_context
from localaws.services.rds import loop

#: Engines of RDS that are PostgreSQL.
ENGINES = ("postgres", "aurora-postgresql")

_DEFAULT_MAX_CONNECTIONS = 100

# Roles of RDS other than the master user, and the permissions of `rds_superuser`.
_ROLES = """
create role rds_superuser; create role rds_iam; create role rds_password; create role rds_replication;
grant pg_monitor, pg_signal_backend, pg_checkpoint to rds_superuser with admin option;
"""


class Database:
    """The server of an instance or cluster.

    Args:
        user: The master user's name.
        password: Its password.
        name: The initial database; empty for none.
        parameters: Returns the parameters of its parameter groups; called at each start.
        answer: Answers what its extensions ask.

    Attributes:
        max_connections: The limit of connections since its last start.
    """

    def __init__(
        self,
        *,
        user: str,
        password: str,
        name: str,
        parameters: Callable[[], Mapping[str, str]],
        answer: Answer,
    ) -> None:
        self._user = user
        self._password = password
        self._name = name
        self._parameters = parameters
        # Relative to the working directory, the state folder, because the path of a socket must be short.
        self._server = PostgresServer(Path(), answer=answer)
        self._created = self._ready = False
        self._lock = threading.RLock()  # requests may come concurrently
        self._relay = Relay(self._server.socket, self._requires_tls)
        self._endpoints: dict[str, Endpoint] = {}
        self.max_connections = _DEFAULT_MAX_CONNECTIONS

    @property
    def socket(self) -> Path | None:
        """The socket of its server; None while the server is not running or not ready."""
        return self._server.socket if self._ready and self._server.running else None

    def open(self, role: str, port: int) -> tuple[str, int]:
        """Open an endpoint.

        Args:
            role: The name of the endpoint; a second one of the same name replaces it.
            port: The port to use.

        Returns:
            The address and the port.
        """
        self.close(role)
        endpoint = listen(role, port, self._relay.serve, any_port=True)
        self._endpoints[role] = endpoint
        return endpoint.address, endpoint.port

    def close(self, role: str) -> None:
        """Close an endpoint."""
        endpoint = self._endpoints.pop(role, None)
        if endpoint:
            loop.at_once(endpoint.close)

    def start(self) -> None:
        """Start its server, and create it the first time. Does nothing if it is running."""
        with self._lock:
            if not self._server.running:
                self._start()

    def _start(self) -> None:
        first = not self._created
        if first:
            self._server.create()
            self._created = True
        settings = {name: value for name, value in self._parameters().items() if name in known_settings()}
        self._server.start(settings)
        self.max_connections = int(settings.get("max_connections", _DEFAULT_MAX_CONNECTIONS))
        if first:
            loop.run(self._populate())
        self._ready = True

    def stop(self, *, crash: bool = False) -> None:
        """Stop its server without deleting its data.

        Args:
            crash: Whether it is killed.
        """
        with self._lock:
            self._ready = False
            self._server.stop(crash=crash)

    def restart(self, *, crash: bool = False) -> None:
        """Stop and start its server; a changed parameter takes effect."""
        with self._lock:
            self.stop(crash=crash)
            self.start()

    def destroy(self) -> None:
        """End its server and delete its data."""
        for role in list(self._endpoints):
            self.close(role)
        with self._lock:
            self._ready = False
            self._server.destroy()

    def set_password(self, user: str, password: str) -> None:
        """Change the password of a role."""
        loop.run(self._execute(f"alter role {identifier(user)} password {literal(password)}"))
        if user == self._user:
            self._password = password

    async def _populate(self) -> None:
        """Create the roles of RDS, the master user and the initial database."""
        master = identifier(self._user)
        await self._execute(
            _ROLES + f"create role {master} login createdb createrole password {literal(self._password)};"
            f"grant rds_superuser, rds_iam, rds_password to {master} with admin option;"
            f"alter database postgres owner to {master};"
        )
        if self._name and self._name != "postgres":
            await self._execute(f"create database {identifier(self._name)} owner {master}")

    async def _execute(self, sql: str) -> None:
        connection = await Connection.open(self._server.socket, SUPERUSER, "", "postgres")
        try:
            await connection.query(sql)
        finally:
            connection.close()

    def _requires_tls(self) -> bool:
        return self._parameters().get("rds.force_ssl", "1") != "0"


def listen(name: str, port: int, serve: Serve, *, any_port: bool = False) -> Endpoint:
    """Open an endpoint with TLS.

    Args:
        name: The common name in the certificate.
        port: The port.
        serve: Serves each client.
        any_port: Whether another port may be used, where there is only one address.
    """
    listener = reserve(port, any_port=any_port)
    endpoint = Endpoint(listener, server_context(name[:64], [listener.getsockname()[0]]), serve)
    loop.run(endpoint.open())
    return endpoint


def identifier(name: str) -> str:
    """A name, quoted for SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """A text, quoted for SQL."""
    return "'" + value.replace("'", "''") + "'"
