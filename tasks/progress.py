"""Progress that a person can follow: one line a step, with its time.

On a terminal the line is drawn again while the step runs. Elsewhere (a file, CI) plain lines are written: one
when a step turns out to take longer than a second, one every half minute, one at its end.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_SHOWN_AFTER = 1.0  # seconds; a shorter step is only told when it is done
_REMINDED_EVERY = 30.0  # seconds, where lines cannot be drawn again
_DRAWN_EVERY = 0.1
_SPINNER = "|/-\\"


class Step:
    """A running step; `note` adds a few words to its line (how far it is, what it found)."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self.title = title
        self._stream = stream
        self._note = ""
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._drawer = threading.Thread(target=self._draw, daemon=True)

    @property
    def seconds(self) -> float:
        """How long the step has been running."""
        return time.monotonic() - self._began

    def note(self, words: str) -> None:
        """Show `words` behind the step's title from now on."""
        self._note = words

    def begin(self) -> None:
        """Start drawing."""
        self._drawer.start()

    def end(self, outcome: str) -> None:
        """Stop drawing and write the step's last line."""
        self._ended.set()
        self._drawer.join()
        start = "\r\x1b[2K" if is_terminal(self._stream) else ""
        self._write(f"{start}  {outcome:6} {self._words()} {format_seconds(self.seconds):>8}\n")

    def _words(self) -> str:
        return f"{self.title}{f' ({self._note})' if self._note else ''}".ljust(60)

    def _draw(self) -> None:
        if is_terminal(self._stream):
            count = 0
            while not self._ended.wait(_DRAWN_EVERY):
                count += 1
                mark = _SPINNER[count % len(_SPINNER)]
                self._write(f"\r\x1b[2K  {mark:6} {self._words()} {format_seconds(self.seconds):>8}")
            return
        wait = _SHOWN_AFTER
        while not self._ended.wait(wait):
            self._write(f"  ...    {self._words()} {format_seconds(self.seconds):>8}\n")
            wait = _REMINDED_EVERY

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


@contextmanager
def step(title: str, *, stream: TextIO | None = None) -> Iterator[Step]:
    """Show that `title` is running until the block ends, then how it ended and how long it took.

    Args:
        title: a few words: what is being done.
        stream: where to write; standard error by default, so that a task's own output can be redirected.
    """
    running = Step(title, stream or sys.stderr)
    running.begin()
    try:
        yield running
    except BaseException:
        running.end("failed")
        raise
    running.end("done")


def is_terminal(stream: TextIO) -> bool:
    """Whether lines written to `stream` can be drawn again."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def format_seconds(seconds: float) -> str:
    """A duration for people: `0.4 s`, `12.3 s`, `2 min 05 s`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
