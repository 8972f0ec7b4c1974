"""What a process of an environment writes: lines for the log."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable


class Output:
    """Reads the lines of a process, all the time, and at once when it is asked.

    Args:
        descriptor: Where to read; it is closed at the end.
        take: Gets each line.
    """

    def __init__(self, descriptor: int, take: Callable[[str], None]) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor, self._take = descriptor, take
        self._rest, self._open = b"", True
        self._lock = threading.Lock()
        threading.Thread(target=self._read_all, daemon=True).start()

    def drain(self) -> bool:
        """Read what has been written up to now; False at the end."""
        with self._lock:
            while self._open:
                try:
                    chunk = os.read(self._descriptor, 1 << 16)
                except BlockingIOError:
                    break
                if not chunk:
                    self._open = False
                    os.close(self._descriptor)
                lines = (self._rest + chunk).split(b"\n")
                # A part of a line waits for the rest, unless there is none.
                self._rest = lines.pop() if chunk else b""
                for line in lines:
                    if line:
                        self._take(line.decode(errors="replace"))
            return self._open

    def _read_all(self) -> None:
        while self.drain():
            select.select([self._descriptor], [], [])
