"""What the functions of PostgreSQL extensions ask of this process: `aws_lambda.invoke`.

    SQL function -> <id>.request, <id> in a named pipe -> this process -> <id>.answer -> SQL function

The files are in the data folder, where only the server's user and the owner of this process come. The SQL
functions (`extension/aws_lambda--1.0.sql`) write and read them with the rights of the superuser, who owns
them, and look for the answer every millisecond, so that a statement can be cancelled meanwhile.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)

Answer = Callable[[dict[str, Any]], dict[str, Any]]


def install_extensions(share: Path) -> None:
    """Copy the extensions to where the server's user can read them.

    https://www.postgresql.org/docs/18/runtime-config-client.html#GUC-EXTENSION-CONTROL-PATH
    """
    target = share / "extension"
    shutil.copytree(Path(__file__).parent / "extension", target)
    for path in (share, target, *target.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)


class Requests:
    """The requests of one server.

    Args:
        data: The data folder of the server.
        answer: Returns the answer to a request; called in a thread of its own.
    """

    def __init__(self, data: Path, answer: Answer) -> None:
        self._folder, self._answer = data / "aws_lambda", answer
        self._folder.mkdir()
        self._folder.chmod(0o777)  # in a folder that is private
        os.mkfifo(self._folder / "pipe")
        (self._folder / "pipe").chmod(0o666)
        # Opened for both: no server has to wait for a reader, and the end of a writer ends nothing.
        self._pipe = os.open(self._folder / "pipe", os.O_RDWR)
        threading.Thread(target=self._listen, daemon=True, name="postgresql requests").start()

    def close(self) -> None:
        """End the thread."""
        os.write(self._pipe, b"end \n")

    def _listen(self) -> None:
        with os.fdopen(self._pipe) as lines:
            for line in iter(lines.readline, "end \n"):
                verb, _, name = line.strip().partition(" ")
                if verb == "invoke":
                    threading.Thread(
                        target=self._serve, args=(name,), daemon=True, name=f"request {name}"
                    ).start()
                else:
                    (self._folder / f"{name}.answer").unlink(missing_ok=True)

    def _serve(self, name: str) -> None:
        request = self._folder / f"{name}.request"
        try:
            answer = self._answer(json.loads(bytes.fromhex(request.read_text())))
            request.unlink()
        except Exception as error:
            _log.exception("A request of PostgreSQL failed unexpectedly")
            answer = {"error": "invoke API failed", "detail": f"Unexpected error: {error}"}
        written = self._folder / f"{name}.new"
        try:
            written.write_text(json.dumps(answer))
            written.chmod(0o644)
            written.rename(self._folder / f"{name}.answer")
        except FileNotFoundError:
            pass  # the database was deleted meanwhile
