"""Brokers on this machine: each has a temporary folder and free ports of the loopback interface.

Nothing of them is a service of the machine, and all of it ends with the scenario.
"""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypeVar

from scenarios.framework import NotYet, ScenarioFailed, wait_until
from scenarios.support.processes import with_this_process

T = TypeVar("T")

_TO_START = 120


class Server:
    """The processes of a broker, while it runs.

    Args:
        name: What it is called.
        folder: A folder of its own.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name, self.folder = name, folder
        self._log = folder / "server.log"
        self._ending = ExitStack()
        self._processes: list[subprocess.Popen[bytes]] = []

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Run a program, and those that it starts; nothing of it is worth an orderly end."""
        with self._log.open("a") as log:
            process = subprocess.Popen(
                with_this_process(command),
                env=environment,
                cwd="/",
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        assert process.stdin is not None
        self._processes.append(process)
        self._ending.callback(process.wait)
        self._ending.callback(process.stdin.close)

    def until_connected(self, connect: Callable[[], T], errors: type[Exception]) -> T:
        """Call `connect` until the broker answers.

        Raises:
            ScenarioFailed: It has ended, or does not answer.
        """

        def attempt() -> T:
            if any(process.poll() is not None for process in self._processes):
                raise ScenarioFailed(f"{self.name} has not started:\n{self._log.read_text()[-2_000:]}")
            try:
                return connect()
            except errors as error:
                raise NotYet(f"no connection: {error!r}") from None

        return wait_until(attempt, what=self.name, timeout=_TO_START)

    def stop(self) -> None:
        """End all processes."""
        self._ending.close()


@contextmanager
def server(name: str) -> Iterator[Server]:
    """Make a folder for a broker, and end its processes with the body."""
    with tempfile.TemporaryDirectory(prefix=f"{name.lower()}-") as folder:
        made = Server(name, Path(folder))
        try:
            yield made
        finally:
            made.stop()


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback interface on which nothing listens."""
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
