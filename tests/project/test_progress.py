"""The output of a step: a line that is redrawn on a terminal, plain lines elsewhere, its time in both."""

import io
import re
import time
from collections.abc import Callable

import pytest

from tasks import progress
from tasks.progress import format_line, format_seconds, step


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_a_short_step_is_one_plain_line() -> None:
    stream = io.StringIO()
    with step("short", stream=stream):
        pass
    assert re.fullmatch(r" +done +short +\d\.\d s\n", stream.getvalue())


def test_a_long_step_is_shown_before_it_ends_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_SHOWN_AFTER", 0.01)
    monkeypatch.setattr(progress, "_REMINDED_EVERY", 0.02)
    stream = io.StringIO()
    with step("long", stream=stream) as line:
        line.note("half")
        wait_until(lambda: stream.getvalue().count("(half)") >= 2)
    *reminders, last = stream.getvalue().splitlines()
    # On a busy machine, the first may come before the note.
    first, *others = (line.split() for line in reminders if "(half)" in line)
    assert first[:3] == ["...", "long", "(half)"]
    assert others
    assert last.split()[0] == "done"
    assert "\x1b" not in stream.getvalue()


def test_on_a_terminal_the_line_is_redrawn_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "_DRAWN_EVERY", 0.01)
    stream = Terminal()
    with step("drawn", stream=stream) as line:
        wait_until(lambda: stream.getvalue().count("\r") > 3)
        line.say("a line that stays")
    drawn = stream.getvalue().split("\r\x1b[2K")
    assert len(drawn) > 4
    assert "a line that stays\n" in drawn
    assert drawn[-1].split()[:2] == ["done", "drawn"]
    assert stream.getvalue().count("\n") == 2


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream = Terminal()
    with step("plain", stream=stream):
        pass
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(("error", "outcome"), [(RuntimeError, "failed"), (KeyboardInterrupt, "stopped")])
def test_a_step_that_fails_or_is_stopped_says_so(error: type[BaseException], outcome: str) -> None:
    stream = io.StringIO()
    with pytest.raises(error), step("bad", stream=stream):
        raise error
    assert stream.getvalue().split()[0] == outcome


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0.0 s"), (12.34, "12.3 s"), (99.9, "99.9 s"), (125, "2 min 05 s")]
)
def test_durations_are_formatted_for_people(seconds: float, shown: str) -> None:
    assert format_seconds(seconds) == shown
    assert format_line("done", "x", seconds).endswith(shown)
