"""The child process, seen from its parent: started, listened to, and ended."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from typing import Any

from localaws.server import processes
from localaws.server.environment import server_environment
from localaws.server.protocol import Options, Ready

_START_SECONDS = 60
_STOP_SECONDS = 10


class LocalAwsError(RuntimeError):
    """The embedded AWS could not start, has ended, or is not running."""


class Child:
    """A keeper and its server (see `keeper`), from start to end.

    Args:
        options: What the server is told.

    Attributes:
        ready: Where it can be reached.

    Raises:
        LocalAwsError: It did not start; the message has the end of its log.
    """

    ready: Ready

    def __init__(self, options: Options) -> None:
        self._owner = os.getpid()
        self._keeper = subprocess.Popen(
            [sys.executable, "-P", "-m", "localaws.server"],
            stdin=subprocess.PIPE,  # the lifeline: it closes when this process ends, however it ends
            stdout=subprocess.PIPE,
            env=server_environment(),
            start_new_session=True,  # ctrl-C reaches this process alone, which then ends the server
        )
        atexit.register(self.stop)
        assert self._keeper.stdin
        assert self._keeper.stdout
        self._lifeline, self._messages = self._keeper.stdin, self._keeper.stdout
        try:
            os.write(self._lifeline.fileno(), json.dumps(asdict(options)).encode() + b"\n")
            message = self._read_message()
            if "port" not in message:
                raise _ended("did not start", message)
            self.ready = Ready(**message)
        except BaseException:
            self.stop()
            raise

    @property
    def keeper_pid(self) -> int:
        """The keeper's process id."""
        return self._keeper.pid

    def wait(self) -> None:
        """Wait as long as the server works.

        Raises:
            LocalAwsError: It ended by itself.
        """
        self._keeper.wait()
        raise _ended("is gone", self._read_message())

    def stop(self) -> None:
        """End the keeper, the server and everything in it, and remove the state folder."""
        if os.getpid() != self._owner or self._lifeline.closed:  # a fork's copy does not own them
            return
        with contextlib.suppress(OSError):
            # Not only closed: a forked copy of this end may keep the pipe open.
            os.write(self._lifeline.fileno(), b"\n")
        self._lifeline.close()
        try:
            self._keeper.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        if self._keeper.returncode != 0 and hasattr(self, "ready"):  # it was killed: do its work
            processes.kill_tree(self.ready.pid, orphans=False)
            shutil.rmtree(self.ready.folder, ignore_errors=True)
        self._messages.close()
        atexit.unregister(self.stop)

    def _read_message(self) -> dict[str, Any]:
        """Read a line of JSON; nothing when there is no more to come."""
        deadline = time.monotonic() + _START_SECONDS
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._messages], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise LocalAwsError(f"The embedded AWS did not start within {_START_SECONDS} s")
            # Not through the buffer: select knows nothing of what a buffered reader holds.
            part = os.read(self._messages.fileno(), 65536)
            if not part:
                return {}
            line += part
        message: dict[str, Any] = json.loads(line)
        return message


def _ended(how: str, message: dict[str, Any]) -> LocalAwsError:
    reason, log = message.get("ended", "without a word"), message.get("log", "")
    return LocalAwsError(f"The embedded AWS {how}: {reason}.\n{log}".rstrip())
