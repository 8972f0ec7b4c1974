"""The process that ends the server, whatever else ends first.

The child that `LocalAws` starts forks before it does anything else:

    user's process -- lifeline (a pipe) --> keeper -- lifeline --> server --> Lambda workers

The keeper only waits. When the lifeline closes (`stop()`, a crash, `kill -9`), when its parent has ended,
or when the server has ended, it kills the server and all its descendants, removes the state folder and
exits. If the keeper itself is killed, the server does the same. No step needs a healthy server. If both are
killed at once, the next start does it (`orphans`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from localaws.server import orphans, processes
from localaws.settings import SettingError

_POLL_SECONDS = 0.5
_LOG_TAIL_CHARACTERS = 4000


def split(folder: Path, log_file: Path, server: Callable[[], None]) -> None:
    """Fork: run `server` in a session of its own, and be its keeper until its end.

    Args:
        folder: The state folder, removed at the end.
        log_file: The file for the standard output and error of the server.
        server: Runs the server, and returns when it has ended.
    """
    parent = os.getppid()
    registration = orphans.Registration(folder)
    processes.adopt_orphans()
    lifeline_read, lifeline_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(lifeline_write)
        _be_the_server(lifeline_read, folder, log_file, server)
    os.close(lifeline_read)
    reason = "it was stopped by an error in its keeper"
    try:
        reason = _wait(pid, parent)
    finally:
        # A second signal must not interrupt the clean-up.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        processes.kill_tree(pid, orphans=True)
        _report_end(reason, log_file)
        shutil.rmtree(folder, ignore_errors=True)
        registration.end()


def _wait(server: int, parent: int) -> str:
    """Return the reason to end.

    The id of the parent is checked in addition to the pipe, which a fork of the parent may keep open.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        while True:
            readable, _, _ = select.select([0], [], [], _POLL_SECONDS)
            if readable:
                return "it was stopped"
            if os.getppid() != parent:
                return "the process that started it has ended"
            ended = processes.reap()
            if server in ended:
                return f"it ended by itself ({_describe(ended[server])})"
    except KeyboardInterrupt:
        return "it was stopped by a signal"


def _describe(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"


def _report_end(reason: str, log_file: Path) -> None:
    """Send the reason to the parent, which reads it if it is waiting for the server."""
    tail = ""
    with contextlib.suppress(OSError):
        tail = log_file.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:]
    with contextlib.suppress(OSError):  # the parent may have ended
        os.write(1, json.dumps({"ended": reason, "log": tail}).encode() + b"\n")


def _be_the_server(lifeline: int, folder: Path, log_file: Path, server: Callable[[], None]) -> None:
    """Run the server and exit: a forked process must not return into the code of its parent."""
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDONLY)
        log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        for descriptor, standard in ((null, 0), (log, 1), (log, 2)):
            os.dup2(descriptor, standard)
        threading.Thread(target=_die_with, args=(lifeline, folder), daemon=True).start()
        server()
        os._exit(0)
    except SettingError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    except BaseException:  # the traceback belongs in the log; the keeper sees the exit code
        traceback.print_exc()
        os._exit(1)


def _die_with(lifeline: int, folder: Path) -> None:
    """Wait until the keeper has ended, and clean up in its place.

    Normally the keeper kills this process before.
    """
    os.read(lifeline, 1)
    for pid in processes.descendants(os.getpid()):
        processes.kill(pid)
    shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
