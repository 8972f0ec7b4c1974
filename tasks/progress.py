"""Progress for a person: one line for each step, with its time.

On a terminal the line is redrawn while the step runs. Elsewhere (a file, CI) plain lines are written: one
when a step takes longer than a second, one every half minute, and one at its end.
"""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_SHOWN_AFTER = 1.0  # seconds; a shorter step is only shown when it is done
_REMINDED_EVERY = 30.0  # seconds, where lines cannot be redrawn
_DRAWN_EVERY = 0.1


class Step:
    """A running step: `note` adds a few words to its line, `outcome` is the word that it ends with."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self.title = title
        self.outcome = "done"
        self._stream = stream
        self._note = ""
        self._began = time.monotonic()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._drawer = threading.Thread(target=self._draw, daemon=True)

    @property
    def seconds(self) -> float:
        """How long the step has been running."""
        return time.monotonic() - self._began

    def note(self, words: str) -> None:
        """Show `words` after the step's title from now on."""
        self._note = words

    def say(self, text: str) -> None:
        """Write lines that stay, above the line of the step."""
        self._write(f"{text}\n")

    def begin(self) -> None:
        """Start drawing."""
        self._drawer.start()

    def end(self) -> None:
        """Stop drawing and write the step's last line."""
        self._ended.set()
        self._drawer.join()
        self.say(format_line(self.outcome, self._words, self.seconds))

    @property
    def _words(self) -> str:
        return f"{self.title} ({self._note})" if self._note else self.title

    def _draw(self) -> None:
        if is_terminal(self._stream):
            marks = itertools.cycle("|/-\\")
            while not self._ended.wait(_DRAWN_EVERY):
                self._write(format_line(next(marks), self._words, self.seconds))
        elif not self._ended.wait(_SHOWN_AFTER):
            self._write(f"{format_line('...', self._words)}\n")
            while not self._ended.wait(_REMINDED_EVERY):
                self._write(f"{format_line('...', self._words, self.seconds)}\n")

    def _write(self, text: str) -> None:
        """Write in place of the last drawn line, which has no line end."""
        with self._lock:
            self._stream.write(f"\r\x1b[2K{text}" if is_terminal(self._stream) else text)
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
    except BaseException as error:
        running.outcome = "stopped" if isinstance(error, KeyboardInterrupt) else "failed"
        raise
    finally:
        running.end()


def is_terminal(stream: TextIO) -> bool:
    """Whether lines written to `stream` can be redrawn."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def format_line(mark: str, words: str, seconds: float | None = None) -> str:
    """A step's line: its state, its title, and how long it has taken."""
    time_taken = "" if seconds is None else f"{format_seconds(seconds):>12}"
    return f"  {mark:7} {words:51}{time_taken}".rstrip()


def format_seconds(seconds: float) -> str:
    """A duration for people: `0.4 s`, `12.3 s`, `2 min 05 s`."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s"
