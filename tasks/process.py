"""Child processes that never outlive run.py.

Each child has its own session and process group. A signal that would end run.py (ctrl-C, SIGTERM, a closed
terminal) is passed on to the whole group. A child that does not end in time is killed, and processes that
it left behind are ended, too. A task that would run on without run.py notices that it has ended, even by
`kill -9`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

GRACE = 20.0  # seconds that a task gets to clean up after ctrl-C; a second ctrl-C ends the wait
_LEFTOVERS_GRACE = 2.0
_WATCH_SECONDS = 0.5
_WINDOWS = sys.platform == "win32"
_FORWARDED = ("SIGINT", "SIGTERM", "SIGHUP")


class Stopped(KeyboardInterrupt):
    """The user ended the child with a signal that came to us."""


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str],
    folder: Path,
    log: Path | None = None,
    grace: float = GRACE,
) -> int:
    """Run `command` to its end and return its exit code; 128 + n when signal n ended it, as shells count.

    Args:
        command: the program and its arguments.
        env: its whole environment.
        folder: where it runs.
        log: a file for everything it prints; without one it shares our terminal.
        grace: seconds between a signal that asks it to stop and the kill.

    Raises:
        Stopped: a signal to us ended a child that has a log. (One that shares our terminal reports with its
            exit code how it handled the signal.)
    """
    with contextlib.ExitStack() as stack:
        streams: dict[str, Any] = {}
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            output = stack.enter_context(log.open("wb"))
            streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        group = _Group(grace)
        stack.enter_context(_signals_go_to(group))
        code = group.run([str(word) for word in command], env=dict(env), cwd=folder, **streams)
    if log is not None and group.received is not None:
        raise Stopped
    return code


def end_with_parent() -> None:
    """From now on, end this task as SIGTERM does when the process that started it has ended."""
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True, name="parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    if sys.platform != "win32" and os.getpgrp() == os.getpid():  # run.py gave it a group of its own
        os.killpg(0, signal.SIGKILL)


class _Group:
    """A child and all processes that it starts."""

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._process: subprocess.Popen[bytes] | None = None
        self.received: int | None = None
        self._killer: threading.Timer | None = None

    def run(self, command: list[str], **options: Any) -> int:
        """Start the child, wait for it, and end all that it left running."""
        options |= (
            {"creationflags": 0x200} if _WINDOWS else {"start_new_session": True}
        )  # 0x200: a new process group
        self._process = subprocess.Popen(command, **options)
        if self.received is not None:  # it arrived while the child was being started
            self._send(self.received)
        code = self._process.wait()
        if self._killer:
            self._killer.cancel()
        self._end_leftovers()
        return 128 - code if code < 0 else code

    def forward(self, signum: int, _frame: FrameType | None) -> None:
        """Pass a signal on: the first asks the child to stop, a second one kills it."""
        if self.received is None:
            self.received = signum
            self._killer = threading.Timer(self._grace, self._kill)
            self._killer.daemon = True
            self._killer.start()
            self._send(signum)
        else:
            self._kill()

    def _send(self, signum: int) -> None:
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                self._process.send_signal(signal.CTRL_BREAK_EVENT)
            else:
                os.killpg(self._process.pid, signum)

    def _kill(self) -> None:
        if self._process is None:
            return
        if sys.platform == "win32":
            subprocess.run(
                ["taskkill", "/F", "/T", "/PID", str(self._process.pid)], check=False, capture_output=True
            )
        else:
            self._send(signal.SIGKILL)

    def _end_leftovers(self) -> None:
        if sys.platform == "win32":
            return  # there is no group to ask for
        self._send(signal.SIGTERM)
        deadline = time.monotonic() + _LEFTOVERS_GRACE
        while self._has_members() and time.monotonic() < deadline:
            time.sleep(0.02)
        self._send(signal.SIGKILL)

    def _has_members(self) -> bool:
        if self._process is None or sys.platform == "win32":
            return False
        try:
            os.killpg(self._process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return False
        return True


@contextlib.contextmanager
def _signals_go_to(group: _Group) -> Iterator[None]:
    """While the block runs, signals that would end this process go to `group` instead."""
    numbers = [getattr(signal, name) for name in _FORWARDED if hasattr(signal, name)]
    before = {number: signal.signal(number, group.forward) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
