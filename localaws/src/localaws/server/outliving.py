"""Servers that outlive the command that started them: `localaws start`, and a test with `--localaws-keep`.

A process of its own owns such a server, as a program owns that of `with LocalAws()`. It runs until `stop`,
and writes how to reach the server to a file in a folder that only the user can enter. The file has the
secret of the start. It is locked while the process lives, so a file that is not locked is stale.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localaws.server.child import LocalAwsError
from localaws.server.protocol import Options, Ready

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_STOP_SECONDS = 20.0


def state_folder(*, made: bool = True) -> Path:
    """The folder with the files: `$XDG_STATE_HOME/localaws`, by default `~/.local/state/localaws`.

    Args:
        made: Whether to make it, if it is not there.

    Raises:
        LocalAwsError: Others may enter it, or it cannot be made.
    """
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(base, "localaws")
    try:
        if made:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = path.lstat()
    except OSError as error:
        if not made and isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return path
        raise _unusable(path, error) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise LocalAwsError(f"{path} must be a folder of yours with the mode 700: it has secrets; remove it")
    return path


def _unusable(path: Path, error: OSError) -> LocalAwsError:
    return LocalAwsError(
        f"The folder {path} cannot be used ({error.strerror}): name another one in XDG_STATE_HOME"
    )


def check_name(name: str) -> None:
    """Refuse a name that is no file name.

    Raises:
        ValueError: It is not.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"name={name!r}: use letters, digits, '.', '_' and '-', at most 64 of them")


@dataclass(frozen=True)
class Running:
    """A server that outlives what started it.

    Attributes:
        name: Its name.
        pid: The process that owns it.
        options: Its options, with the secret.
        ready: How to reach it.
    """

    name: str
    pid: int
    options: Options
    ready: Ready

    def wait(self) -> None:
        """Wait until it has ended."""
        while find(self.name) == self:
            time.sleep(0.2)
        raise LocalAwsError(f"The embedded AWS {self.name!r} has ended")

    def stop(self) -> None:
        """Do nothing: the server belongs to another process."""


def find(name: str) -> Running | None:
    """Return the server with this name; None if it does not run."""
    check_name(name)
    file = state_folder(made=False) / f"{name}.json"
    try:
        with file.open() as opened:
            try:
                fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                text = opened.read()
            else:  # its process was killed
                file.unlink(missing_ok=True)
                return None
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not text:  # it is starting
        return None
    found = json.loads(text)
    return Running(name, found["pid"], Options(**found["options"]), Ready(**found["ready"]))


def names() -> list[str]:
    """The names of all servers that run."""
    return [file.stem for file in sorted(state_folder(made=False).glob("*.json")) if find(file.stem)]


def start(name: str, settings: Mapping[str, Any]) -> Running:
    """Start a server that runs until `stop`.

    Args:
        name: Its name.
        settings: The arguments of `LocalAws`; paths as text.

    Raises:
        LocalAwsError: One with this name is running, or it could not start.
    """
    check_name(name)
    log = state_folder() / f"{name}.log"
    try:
        log.touch(mode=0o600)
    except OSError as error:
        raise _unusable(log.parent, error) from None
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "localaws.server.owner", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
            text=True,
        )
    assert process.stdin
    assert process.stdout
    with process.stdin:
        process.stdin.write(json.dumps(dict(settings)))
    with process.stdout:
        said = process.stdout.read()  # until it closes its standard output, when it is ready
    found = find(name)
    if said.strip() or found is None:
        raise LocalAwsError(said.strip() or f"It did not start:\n{log.read_text('utf-8', 'replace')}")
    return found


def stop(name: str) -> bool:
    """Stop a server with all its processes; return whether there was one.

    Raises:
        LocalAwsError: It does not end.
    """
    found = find(name)
    if found is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while find(name):
        if time.monotonic() >= deadline:
            raise LocalAwsError(f"The embedded AWS {name!r}, process {found.pid}, does not end")
        time.sleep(0.02)
    return True
