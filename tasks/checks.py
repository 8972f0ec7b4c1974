"""`run.py test`: every check of the project, three at a time, a line each with its time.

Three lanes run at the same time: the linters, the types and the tests that need no server; the tests of the
embedded AWS; the architectures on it. The last two wait more than they compute, so that two cores are enough
for all three. What a failing check printed is shown, with the command that repeats only that check. With
arguments for pytest, only pytest runs, with those arguments.

The last line is `N passed, N failed`: the tests, and each other check counted as one.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tasks.progress import Step, format_line, step

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".cache" / "logs"
ROOMS = ("app.py", "run.py", "tasks", "stacks", "constructs", "scenarios", "localaws", "benchmarks", "tests")
# The tests of the embedded AWS; every other test that is marked `local` is of an architecture on it.
EMBEDDED_AWS = "localaws/tests"
_PERCENT = re.compile(r"\[ *(\d+)%\]")


@dataclass(frozen=True)
class Check:
    """One check: a module of Python run with arguments, in a folder."""

    name: str
    module: str
    arguments: tuple[str, ...]
    folder: Path = ROOT

    @property
    def log(self) -> Path:
        """Where all that it prints goes."""
        return LOGS / f"test-{re.sub('[^a-z0-9]+', '-', self.name.lower())}.log"

    @property
    def report(self) -> Path | None:
        """Where pytest writes what became of each test."""
        return self.log.with_suffix(".xml") if self.module == "pytest" else None

    @property
    def command(self) -> list[str]:
        """What is run."""
        report = [f"--junitxml={self.report}"] if self.report else []
        return [sys.executable, "-m", self.module, *self.arguments, *report]

    @property
    def again(self) -> str:
        """How a person runs this check alone."""
        python = Path(sys.executable)
        shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) and self.folder == ROOT else python
        place = "" if self.folder == ROOT else f"cd {self.folder.relative_to(ROOT)} && "
        return place + shlex.join([str(shown), "-m", self.module, *self.arguments])


@dataclass
class Counts:
    """How many passed, failed and were skipped."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0

    def add(self, other: Counts) -> None:
        """Add another count to this one."""
        self.passed += other.passed
        self.failed += other.failed
        self.skipped += other.skipped

    def __str__(self) -> str:
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        return f"{self.passed} passed, {self.failed} failed{skipped}"


@dataclass
class Lane:
    """Checks that run one after the other."""

    checks: list[Check]
    check: Check | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _began: float = 0.0

    def advance(self) -> tuple[Check, int, float] | None:
        """Start the next check if none runs; return one that has just ended, its exit code and seconds."""
        if self._process is None:
            if self.checks:
                self._start(self.checks.pop(0))
            return None
        code = self._process.poll()
        if code is None or self.check is None:
            return None
        ended, self.check, self._process = self.check, None, None
        return ended, code, time.monotonic() - self._began

    @property
    def is_done(self) -> bool:
        """Whether nothing is running and nothing is left."""
        return self.check is None and not self.checks

    def _start(self, check: Check) -> None:
        self.check, self._began = check, time.monotonic()
        if check.report:
            check.report.unlink(missing_ok=True)
        with check.log.open("wb") as log:
            self._process = subprocess.Popen(
                check.command,
                cwd=check.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )


def main(arguments: Sequence[str]) -> int:
    """Run all checks, or pytest alone when there are arguments for it; return the exit code."""
    full = "--full" in arguments
    for_pytest = [argument for argument in arguments if argument != "--full"]
    if for_pytest:
        chosen = [] if full or "-m" in for_pytest else ["-m", "not full"]
        command = [sys.executable, "-m", "pytest", *chosen, *for_pytest]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    LOGS.mkdir(parents=True, exist_ok=True)
    with step("all checks", stream=sys.stdout) as line:
        counts = run_lanes(lanes(full=full), line)
    print(f"\nThe logs are in {LOGS.relative_to(ROOT)}.")
    print(counts, flush=True)
    return 1 if counts.failed else 0


def lanes(*, full: bool) -> list[Lane]:
    """What runs beside what."""
    skipped = "" if full else " and not full"
    local = ("-m", f"local{skipped}")
    return [
        Lane(
            [
                Check("ruff", "ruff", ("check", "--output-format", "concise", ".")),
                Check("ruff format", "ruff", ("format", "--check", ".")),
                Check("mypy", "mypy", tuple(room for room in ROOMS if holds_python(ROOT / room))),
                shared_types(),
                *(handler_types(folder) for folder in handler_folders()),
                Check("tests", "pytest", ("-m", f"not local{skipped}")),
            ]
        ),
        Lane([Check("tests of the embedded AWS", "pytest", (*local, EMBEDDED_AWS))]),
        Lane([Check("tests of the architectures", "pytest", (*local, "tests"))]),
    ]


def handler_types(folder: Path) -> Check:
    """A handler's folder is a program of its own: its modules import each other by their bare names."""
    return types_of(folder.relative_to(ROOT / "lambda_src").as_posix(), ".", folder)


def shared_types() -> Check:
    """The modules that handlers share are a package, which knows none of the handlers."""
    return types_of("shared", "shared", ROOT / "lambda_src")


def types_of(name: str, what: str, folder: Path) -> Check:
    """Types of something below lambda_src, looked at from inside a folder."""
    # A cache for each: handlers all have a module `handler`, and would throw each other's results away.
    cache = ROOT / ".mypy_cache" / "handlers" / name
    arguments = ("--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(cache), what)
    return Check(f"mypy: {name}", "mypy", arguments, folder)


def handler_folders() -> Iterator[Path]:
    """Each folder below lambda_src that is deployed as a function."""
    yield from sorted(handler.parent for handler in (ROOT / "lambda_src").glob("*/*/handler.py"))


def holds_python(room: Path) -> bool:
    """Whether there is anything for mypy to read."""
    return room.is_file() or any(room.rglob("*.py"))


def run_lanes(rows: list[Lane], line: Step) -> Counts:
    """Run every lane to its end and tell of each check as it ends."""
    counts = Counts()
    while not all(lane.is_done for lane in rows):
        for lane in rows:
            ended = lane.advance()
            if ended:
                counts.add(tell(*ended, line))
        line.note(", ".join(f"{check.name}{progress_of(check)}" for lane in rows if (check := lane.check)))
        time.sleep(0.05)
    line.note("")
    line.outcome = "FAILED" if counts.failed else "passed"
    return counts


def tell(check: Check, code: int, seconds: float, line: Step) -> Counts:
    """Write how a check ended; if it failed, what it printed and how to repeat it."""
    counts = count(check, code)
    words = f"{check.name} ({counts})" if check.report else check.name
    line.say(format_line("FAILED" if code else "passed", words, seconds))
    if code:
        output = check.log.read_text("utf-8", errors="replace").rstrip()
        line.say(f"\n{output}\n\n  to repeat it alone: {check.again}\n")
    return counts


def count(check: Check, code: int) -> Counts:
    """The tests that pytest reports; any other check is one. A failure is never counted as nothing."""
    counts = Counts()
    if check.report and check.report.exists():
        for suite in ET.parse(check.report).getroot().iter("testsuite"):  # noqa: S314 - by pytest
            total, failures, errors, skipped = (
                int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")
            )
            counts.add(Counts(total - failures - errors - skipped, failures + errors, skipped))
    elif not code:
        counts.passed = 1
    if code and not counts.failed:
        counts.failed = 1
    return counts


def progress_of(check: Check) -> str:
    """How far pytest says it is."""
    if not check.report:
        return ""
    found = _PERCENT.findall(check.log.read_text("utf-8", errors="replace"))
    return f" {found[-1]}%" if found else ""


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main(sys.argv[1:]))
