"""What `LocalAws` and its child process say to each other, as JSON."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What the child is told.

    Attributes:
        account: The account of requests with the administrator's key.
        region: The region of everything that names none.
        access_key_id: The administrator's key.
        secret_access_key: Its secret.
        bridges: Whether what the emulator lacks is added.
        iam: Whether policies are enforced.
        state_dir: Where the state folder is made; None is the system's folder for temporary files.
        log_file: Where the log goes; None is the state folder, with which it disappears.
    """

    account: str
    region: str
    access_key_id: str
    secret_access_key: str
    bridges: bool = True
    iam: bool = True
    state_dir: str | None = None
    log_file: str | None = None


@dataclass(frozen=True)
class Ready:
    """What the child answers when it serves.

    Attributes:
        pid: The server's process id, which is also its process group.
        folder: The state folder.
        port: The one port, on 127.0.0.1, for every service.
        authority: The certificate to trust.
        log_file: The server's log.
    """

    pid: int
    folder: str
    port: int
    authority: str
    log_file: str
