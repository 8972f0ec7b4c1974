"""A lock between processes: a file that the operating system locks."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tasks.progress import step


@contextmanager
def one_at_a_time(file: Path, *, waiting_for: str) -> Iterator[None]:
    """Hold the lock `file` during the block. The operating system releases it when its process ends.

    Args:
        file: made if it is not there, and left there.
        waiting_for: what may hold it, shown to the user while waiting.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w") as held:
        if not _try_lock(held):
            with step(f"waiting for {waiting_for}"):
                while not _try_lock(held):
                    time.sleep(0.1)
        yield


if sys.platform == "win32":
    import msvcrt

    def _try_lock(file: IO[str]) -> bool:
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(file: IO[str]) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
