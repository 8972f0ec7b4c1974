"""The process that ends the server, whoever or whatever ended first.

The child that `LocalAws` starts splits in two before it does anything else:

    user's process ── lifeline (a pipe) ──> keeper ── lifeline ──> server ──> Lambda workers

The keeper only waits. When the lifeline closes (`stop()`, a crash, `kill -9`), when its parent is gone, or
when the server died by itself, it kills the server and all that came from it, removes the state folder and
exits. The server in turn kills its group if the keeper itself is killed. No step needs a healthy server.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from localaws import processes

_POLL_SECONDS = 0.5
_LOG_TAIL_CHARACTERS = 4000


def split(folder: Path, log_file: Path, server: Callable[[], None]) -> None:
    """Fork: run `server` in a process group of its own, and keep it from this one.

    Args:
        folder: The state folder, removed at the end.
        log_file: Where the server's standard output and error go.
        server: Does not return while the server works.
    """
    parent = os.getppid()
    processes.adopt_orphans()
    lifeline_read, lifeline_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(lifeline_write)
        _be_the_server(lifeline_read, log_file, server)
    os.close(lifeline_read)
    reason = "stopped"
    try:
        reason = _wait(pid, parent)
    finally:
        # From here on nothing may interrupt: a second signal must not leave half of it behind.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        _report_end(reason, log_file)
        processes.kill_tree(pid)
        shutil.rmtree(folder, ignore_errors=True)


def _be_the_server(lifeline: int, log_file: Path, server: Callable[[], None]) -> None:
    """Never returns: a child of a fork must not run on in its parent's code."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(null, 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        threading.Thread(target=_die_with, args=(lifeline,), daemon=True).start()
        server()
        os._exit(0)
    except BaseException:  # the traceback belongs in the log, then the keeper sees the exit
        import traceback

        traceback.print_exc()
        os._exit(1)


def _die_with(lifeline: int) -> None:
    """Wait for the keeper's end, which closes the pipe, and kill this process group."""
    os.read(lifeline, 1)
    os.killpg(0, signal.SIGKILL)


def _wait(server: int, parent: int) -> str:
    """Return why it is time to end.

    The parent's id is asked for besides the pipe: a process that the parent forked may hold the pipe open.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: os._exit(1) if os.getpid() == server else _raise_interrupt())
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            readable, _, _ = select.select([0], [], [], _POLL_SECONDS)
            if readable:
                return "stopped"
            if os.getppid() != parent:
                return "the process that started the embedded AWS is gone"
            ended, status = os.waitpid(server, os.WNOHANG)
            if ended:
                return f"the emulator ended by itself ({_describe(status)})"
    return "stopped by a signal"


def _raise_interrupt() -> None:
    raise KeyboardInterrupt


def _describe(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _report_end(reason: str, log_file: Path) -> None:
    tail = ""
    with contextlib.suppress(OSError):
        tail = log_file.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
    with contextlib.suppress(OSError):  # whoever would read this may be gone
        os.write(1, json.dumps({"ended": reason, "log": tail}).encode() + b"\n")


def wait_until_gone(pid: int, seconds: float) -> bool:
    """Return whether the process of another parent ended within `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not processes.is_alive(pid):
            return True
        time.sleep(0.02)
    return False
