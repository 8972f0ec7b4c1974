"""Clears what an embedded AWS has left behind whose keeper and server were killed together.

Each keeper registers its state folder in a file that it and its server keep locked. Linux and macOS release
the lock when both have ended, however they ended, so a file that is not locked names an orphaned folder.
The next start, of any embedded AWS of the same user, kills the processes that work in the folder and
removes it.

Not to: without namespaces, a process of a function that has replaced its environment is not found.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from localaws.server import processes

_PATIENCE_SECONDS = 5.0


def registry() -> Path | None:
    """The folder with a file for each embedded AWS of the user; None if another user has taken its name."""
    folder = Path(tempfile.gettempdir(), f"localaws-of-{os.getuid()}")
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o022
    return folder if own else None


class Registration:
    """The entry of a state folder. Processes that are forked share it, and those that are executed do not.

    Args:
        folder: The state folder.
    """

    def __init__(self, folder: Path) -> None:
        self._file: Path | None = None
        entries = registry()
        if entries is None:
            return
        # The lock comes before the content: a file without content is one that was given up.
        self._file = entries / folder.name
        self._descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.write(self._descriptor, str(folder.absolute()).encode())

    def end(self) -> None:
        """Remove the entry: the folder is gone."""
        if self._file:
            self._file.unlink(missing_ok=True)


def clear() -> None:
    """Kill the processes and remove the folders that have neither a keeper nor a server any more."""
    entries = registry()
    for entry in sorted(entries.iterdir()) if entries else ():
        with contextlib.suppress(OSError):
            _clear(entry)


def _clear(entry: Path) -> None:
    with entry.open() as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return  # it is running, or another start is clearing it
        named = opened.read()
        if not named:
            return  # it is starting
        folder = Path(named)
        if folder.name == entry.name:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while (left := _working_in(folder)) and time.monotonic() < deadline:
                for pid in left:
                    processes.kill(pid)
                time.sleep(0.01)
            shutil.rmtree(folder, ignore_errors=True)
        entry.unlink(missing_ok=True)


def _working_in(folder: Path) -> list[int]:
    """The processes that the server started, and their children: functions and databases.

    Functions have their code mounted from the folder or, without namespaces, their home and temporary files
    in it, and PostgreSQL has its data there. A shell of the user who exported `LocalAws.environment`, or
    looks around in the folder, has not.
    """
    signs = tuple(f"{name}={folder}/" for name in ("HOME", "TMPDIR")), f"-D {folder}/"
    if sys.platform == "linux":
        mounted = f"/{folder.name}/"
        return [int(entry.name) for entry in Path("/proc").iterdir() if _works(entry, *signs, mounted)]
    command = ["ps", "-A", "-E", "-ww", "-o", "pid=,command="]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    variables, data = signs
    return [int(line.split()[0]) for line in listed if any(f" {sign}" in line for sign in (*variables, data))]


def _works(process: Path, variables: tuple[str, ...], data: str, mounted: str) -> bool:
    if not process.name.isdigit():
        return False
    try:
        if (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return False
        command = (process / "cmdline").read_bytes().decode("utf-8", "replace").replace("\0", " ")
        environment = (process / "environ").read_bytes().decode("utf-8", "replace").split("\0")
        mounts = (process / "mountinfo").read_text("utf-8", "replace")
    except OSError:
        return False  # it has ended, or is another user's
    in_environment = any(one.startswith(variables) for one in environment)
    return f" {data}" in command or in_environment or mounted in mounts
