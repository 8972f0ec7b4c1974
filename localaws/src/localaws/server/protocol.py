"""The messages between `LocalAws` and its child process, as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """The options of the child.

    Attributes:
        account: The account of requests with the administrator's key.
        region: The default region.
        access_key_id: The administrator's key.
        secret: The secret of the start, from which the secrets of all root users and tokens are derived.
        bridges: Whether to add what the emulator lacks.
        iam: Whether to enforce policies.
        account_concurrency: How many concurrent executions of functions an account has; None for the setting.
        state_dir: The parent of the state folder; None is the system's folder for temporary files.
        log_file: The log; None is a file in the state folder, which is removed.
    """

    account: str
    region: str
    access_key_id: str
    secret: str
    bridges: bool = True
    iam: bool = True
    account_concurrency: int | None = None
    state_dir: str | None = None
    log_file: str | None = None


@dataclass(frozen=True)
class Ready:
    """The message of a child that is ready.

    Attributes:
        pid: The server's process id, which is also its process group.
        folder: The state folder.
        port: The port of all services, on 127.0.0.1.
        authority: The certificate to trust.
        log_file: The server's log.
    """

    pid: int
    folder: str
    port: int
    authority: str
    log_file: str
