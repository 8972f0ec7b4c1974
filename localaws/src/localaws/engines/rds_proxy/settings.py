"""What a proxy reads from its account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Settings:
    """The settings of a proxy; read each time, so that changes take effect immediately.

    Attributes:
        socket: The socket of the database server; None if it is not running.
        max_connections: The limit of connections to the database.
        borrow_timeout: Seconds that a client waits for a connection.
        idle_timeout: Seconds after which an idle client is closed.
        require_tls: Whether clients without TLS are refused.
        init_query: SQL that each new connection to the database runs.
    """

    socket: Path | None
    max_connections: int
    borrow_timeout: float
    idle_timeout: float
    require_tls: bool
    init_query: str = ""


@dataclass(frozen=True)
class Credentials:
    """The credentials of a role for the database, and the authentication that its clients use.

    Attributes:
        password: The role's password in the database; None if the proxy logs in with IAM as well.
        iam: Whether the client must use an IAM token (`REQUIRED`), may use one (`ENABLED`), or must use the
            password (`DISABLED`).
    """

    password: str | None
    iam: str


class Control(Protocol):
    """The account of a proxy."""

    def settings(self) -> Settings:
        """The current settings."""

    def credentials(self, role: str) -> Credentials | None:
        """The credentials of a role; None if no secret that the proxy may read has them."""

    def admits(self, role: str, token: str, host: str, port: int) -> bool:
        """Whether the token is for this role and address, and its signer may connect."""

    def log(self, message: str) -> None:
        """Write a line to the log of the proxy."""

    def publish(self, metrics: Mapping[str, float]) -> None:
        """Publish metrics; called every minute, and within a second of a change."""
