"""The file system of an execution environment: `/var/task`, `/opt`, `/tmp` and `/mnt/…` of its own, on Linux.

The processes of an environment run in a mount namespace, which costs a few milliseconds at its start and
nothing after. It needs no rights, but the kernel must allow user namespaces to this user, or mounts to root:
some containers allow neither, and macOS has none. `available()` says whether it works here.

Faithful to: `/var/task` with the code and `/opt` with the merged layers, which can only be read; a `/tmp` of
the configured size, by default 512 MB, beyond which writes fail with ENOSPC, and which lasts as long as the
environment, also when its process ends; file systems below `/mnt`; the runtime's interpreter in
`/var/lang/bin` and its packages in `/var/runtime`; the end of an environment, also by a timeout, ends every
process in it. Processes have no capabilities and cannot get any, so they cannot change this.
Not to: the rest of Amazon Linux: those folders are this machine's, and what this user may write there can be
written, so as root all of it, also `/etc`: run nothing as root that you do not trust. Root keeps the right to
every file (`CAP_DAC_OVERRIDE` and its like). Where there are no namespaces, processes that a function has
started outlive its environment, up to the end of the server. `/tmp` is memory of this machine, as far as it
is used, not a disk. The process has this user's id.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-ephemeral-storage.html
https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ENTER = Path(__file__).with_name("enter.py")

#: Where an environment has its code, its layers, the packages of its runtime, and other files of the host.
TASK, LAYERS, RUNTIME, HOST = Path("/var/task"), Path("/opt"), Path("/var/runtime"), Path("/var/localaws")
#: The runtime's interpreter, for scripts of layers.
INTERPRETER = Path("/var/lang/bin/python3")
INTERPRETERS = tuple(
    INTERPRETER.with_name(name) for name in ("python", "python3", f"python3.{sys.version_info.minor}")
)
#: Mebibytes of `/tmp`, if a function does not say.
SCRATCH = 512

# The folders that an environment does not share with this machine.
_OWN = ("/tmp", "/opt", "/mnt", "/var/task", "/var/runtime", "/var/lang", "/var/localaws")  # noqa: S108
_KINDS = ("user", "mnt")  # of namespaces, in the order in which they are joined

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileSystem:
    """What an environment sees.

    Attributes:
        task: The folder of the code, for `/var/task`.
        layers: The folder of the merged layers, for `/opt`.
        scratch: The size of `/tmp` in mebibytes.
        mounts: Folders that can be written, by the path where they are seen, such as `/mnt/data`.
        files: Files and folders that are seen at other paths than those of this machine.
        folder: The working directory.
        own: Which of the files are in folders of this machine, whose other files stay.
    """

    task: Path
    layers: Path | None = None
    scratch: int = SCRATCH
    mounts: Mapping[str, Path] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    folder: str = str(TASK)
    own: Sequence[str] = ()

    def described(self, joined: Sequence[int] = (), reports: int | None = None) -> str:
        """What `enter.enter` needs, as JSON.

        Args:
            joined: The descriptors of `Joined`, for another process of an environment that exists.
            reports: The descriptor to which it is written why a program could not be started.
        """
        kept = _kept()
        binds, links = [(str(TASK), str(self.task), False)], []
        if self.layers is not None:
            # A folder that the interpreter needs below /opt has no place in a folder that is bound there.
            if any(path.startswith("/opt/") for path in kept):
                for one in self.layers.iterdir():
                    if one.is_symlink():
                        links.append((str(LAYERS / one.name), str(one.readlink())))
                    else:
                        binds.append((str(LAYERS / one.name), str(one), False))
            else:
                binds.append((str(LAYERS), str(self.layers), False))
        binds += [(path, path, False) for path in kept]
        binds += [(path, str(folder), False) for path, folder in self.files.items()]
        binds += [(path, str(folder), True) for path, folder in self.mounts.items()]
        base = os.path.realpath(sys.executable)
        return json.dumps(
            {
                "joined": list(joined),
                "reports": reports,
                "root": _root(),
                "folder": self.folder,
                "own": [*_OWN, *kept, *self.own],
                "empty": ["/opt", "/mnt"],
                "scratch": [("/tmp", f"size={self.scratch}m,mode=755")],  # noqa: S108
                "binds": binds,
                "links": links + [(str(path), base) for path in INTERPRETERS],
            }
        )

    def command(self, *program: str, joined: Sequence[int] = (), reports: int | None = None) -> list[str]:
        """The command that runs a program in the environment. `Popen` has to pass the descriptors on."""
        return [sys.executable, "-S", "-s", "-E", str(ENTER), self.described(joined, reports), *program]


class Joined:
    """Keeps the namespaces of an environment when its process ends, so that another one finds its `/tmp`."""

    def __init__(self) -> None:
        self.descriptors: list[int] = []

    def keep(self, pid: int) -> None:
        """Remember the namespaces of a process that has entered them; nothing if it has ended since."""
        self.close()
        found: list[int] = []
        try:
            for kind in _KINDS:
                namespace = Path(f"/proc/{pid}/ns/{kind}")
                if not namespace.samefile(f"/proc/self/ns/{kind}"):
                    found.append(os.open(namespace, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            for descriptor in found:
                os.close(descriptor)
        else:
            self.descriptors = found

    def kill_all(self) -> None:
        """Kill all processes in the environment, also those that others have started there."""
        try:
            mounts = os.fstat(self.descriptors[-1])
        except (IndexError, OSError):  # there is none, or not any more
            return
        deadline = time.monotonic() + 1.0  # a killed process may take a moment
        while (found := _processes_in(mounts)) and time.monotonic() < deadline:
            for pid in found:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)

    def close(self) -> None:
        """Give the file system up, with all processes in it."""
        self.kill_all()
        for descriptor in self.descriptors:
            os.close(descriptor)
        self.descriptors = []


def _processes_in(mounts: os.stat_result) -> list[int]:
    found = []
    for process in os.scandir("/proc"):
        if process.name.isdecimal():
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if os.path.samestat(os.stat(f"{process.path}/ns/mnt"), mounts):  # noqa: PTH116
                    found.append(int(process.name))
    return found


@functools.cache
def available() -> bool:
    """Whether environments have a file system of their own on this machine."""
    if sys.platform != "linux":
        return False
    tried = subprocess.run(
        FileSystem(Path(__file__).parent, Path(__file__).parent).command("/bin/true"),
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode:
        last = (tried.stderr.strip().splitlines() or ["?"])[-1]
        _logger.warning("functions have no /tmp, /opt and /var/task of their own on this machine: %s", last)
    return tried.returncode == 0


@functools.cache
def _root() -> str:
    return tempfile.mkdtemp(prefix="lambda-root-")


@functools.cache
def _kept() -> tuple[str, ...]:
    """What the interpreter needs of the folders that environments have for themselves."""
    needed = {sys.base_prefix, str(Path(sys.executable).resolve().parent)}
    return tuple(sorted(path for path in needed if any(path.startswith(own + "/") for own in _OWN)))
