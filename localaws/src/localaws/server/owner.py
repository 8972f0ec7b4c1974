"""The process that owns a server which outlives the command that started it: see `outliving`.

`python -m localaws.server.owner NAME`, with the arguments of `LocalAws` as JSON on standard input.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from localaws.server.aws import LocalAws
from localaws.server.child import LocalAwsError
from localaws.server.outliving import state_folder


def main() -> None:
    """Own a server until SIGTERM."""
    name, settings = sys.argv[1], json.loads(sys.stdin.read())
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _locked(name) as file:
        try:
            paths = {key: Path(value) for key, value in settings.items() if key in ("state_dir", "log_file")}
            with LocalAws(**settings | paths) as aws:
                running = {"pid": os.getpid(), **aws.as_running()}
                os.write(file, json.dumps(running).encode())
                os.close(1)
                aws.wait()
        except KeyboardInterrupt:
            pass
        except (LocalAwsError, ValueError, OSError) as error:
            print(error, flush=True)
            sys.exit(1)


@contextlib.contextmanager
def _locked(name: str) -> Iterator[int]:
    """Hold the file of a name while the body runs, and remove it."""
    path = state_folder() / f"{name}.json"
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"The embedded AWS {name!r} is already running.", flush=True)
            sys.exit(1)
        os.ftruncate(file, 0)
        try:
            yield file
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(file)


if __name__ == "__main__":
    main()
