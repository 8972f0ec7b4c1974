"""What a proxy asks the account it belongs to, and the answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Settings:
    """How a proxy behaves; asked for anew each time, so that a change has effect at once.

    Attributes:
        socket: Where the database's server listens; None when it is not there.
        max_connections: How many connections the proxy may have to it.
        borrow_timeout: Seconds that a client waits for one.
        idle_timeout: Seconds after which a client that asks for nothing is closed.
        require_tls: Whether clients without TLS are refused.
        init_query: SQL that each new connection to the database runs first.
    """

    socket: Path | None
    max_connections: int
    borrow_timeout: float
    idle_timeout: float
    require_tls: bool
    init_query: str = ""


@dataclass(frozen=True)
class Credentials:
    """How the proxy logs in to the database for a client's role, and how the client proves who it is.

    Attributes:
        password: The role's password in the database.
        iam: Whether the client must give an IAM token (`REQUIRED`), may (`ENABLED`), or must give the
            password (`DISABLED`).
    """

    password: str
    iam: str


class Control(Protocol):
    """The account, as the proxy sees it."""

    def settings(self) -> Settings:
        """How the proxy behaves now."""

    def credentials(self, role: str) -> Credentials | None:
        """What a secret of the proxy says of a role; None if none that the proxy may read has it."""

    def admits(self, role: str, token: str, host: str, port: int) -> bool:
        """Whether the token is one for this role at this address, of somebody who may connect."""

    def log(self, message: str) -> None:
        """Write to the proxy's log."""

    def publish(self, metrics: Mapping[str, float]) -> None:
        """Write to the proxy's metrics: once a minute, and within a second of a change."""
