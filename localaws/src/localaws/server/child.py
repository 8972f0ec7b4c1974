"""The child process, from the parent's side: starts it, receives its messages, and stops it."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from dataclasses import asdict
from typing import Any

from localaws.server import installation, processes
from localaws.server.environment import server_environment
from localaws.server.protocol import Options, Ready

_START_SECONDS = 60
_STOP_SECONDS = 10


class LocalAwsError(RuntimeError):
    """The embedded AWS could not start, has ended, or is not running."""


class Child:
    """A keeper with its server (see `keeper`).

    Args:
        options: The options of the server.

    Attributes:
        ready: How to reach it.

    Raises:
        LocalAwsError: The server is not installed, or did not start; the message has the end of its log.
    """

    ready: Ready

    def __init__(self, options: Options) -> None:
        self._owner = os.getpid()
        try:
            python, package = installation.python()
        except installation.InstallationError as error:
            raise LocalAwsError(str(error)) from None
        self._keeper = subprocess.Popen(
            [python, "-P", "-m", "localaws.server"],
            stdin=subprocess.PIPE,  # the lifeline: it closes when this process ends, however it ends
            stdout=subprocess.PIPE,
            env=server_environment(package),
            start_new_session=True,  # ctrl-C reaches only this process, which then stops the server
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
        """Wait until the server ends.

        Raises:
            LocalAwsError: It has ended.
        """
        self._keeper.wait()
        raise _ended("has ended", self._read_message())

    def stop(self) -> None:
        """Stop the keeper, the server and all its processes, and remove the state folder."""
        if os.getpid() != self._owner or self._lifeline.closed:  # a fork's copy does not own them
            return
        with contextlib.suppress(OSError):
            # Closing is not enough: a forked process may keep the pipe open.
            os.write(self._lifeline.fileno(), b"\n")
        self._lifeline.close()
        try:
            self._keeper.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._keeper.kill()
            self._keeper.wait()
        if self._keeper.returncode != 0 and hasattr(self, "ready"):  # it was killed: clean up in its place
            processes.kill_tree(self.ready.pid, orphans=False)
            shutil.rmtree(self.ready.folder, ignore_errors=True)
        self._messages.close()
        atexit.unregister(self.stop)

    def _read_message(self) -> dict[str, Any]:
        """Read a line of JSON; an empty dict at the end of the messages."""
        deadline = time.monotonic() + _START_SECONDS
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._messages], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise LocalAwsError(f"The embedded AWS did not start within {_START_SECONDS} s")
            # Without a buffer, whose content select would not see.
            part = os.read(self._messages.fileno(), 65536)
            if not part:
                return {}
            line += part
        message: dict[str, Any] = json.loads(line)
        return message


def _ended(how: str, message: dict[str, Any]) -> LocalAwsError:
    reason, log = message.get("ended", "without a message"), message.get("log", "")
    return LocalAwsError(f"The embedded AWS {how}: {reason}.\n{log}".rstrip())
