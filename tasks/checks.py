"""`run.py test`: every check of the project, several at a time, a line for each with the time it took.

The checks are in one queue, and `LANES` of them run at the same time. The output of a check that fails is
shown, with the command that repeats only that check.

With `--changed`, the linters run on everything, and pytest on the tests that `tasks.changes` selects for what
differs from `main`. With arguments for pytest, only pytest runs, with those arguments.

The last lines are the ten slowest tests and then `N passed, N failed`, where each check other than pytest
counts as one.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from stacks.catalogue import ARCHITECTURES, Architecture
from tasks import console
from tasks.changes import changed_files, rows_of, select_tests
from tasks.errors import TaskError
from tasks.progress import Step, format_line, format_seconds, step

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".cache" / "logs"
# Many checks wait for a deployed stack more than they compute, so more of them run than there are cores.
# Those that only compute run at a lower priority, so that they delay no test that waits.
LANES = 2 * (os.cpu_count() or 2) + 2
_LOWER_PRIORITY = 3
# Folders of localaws/tests that take long, the longest first: each is a check, and the others are one check.
SLOW_SERVICES = ("lambda_", "server", "codedeploy", "rds")
ROOMS = (
    *(
        "app.py",
        "run.py",
        "tasks",
        "stacks",
        "constructs",
        "lambda_src",
        "scenarios",
        "localaws",
        "benchmarks",
    ),
    "tests",
)
# What holds for every deployed architecture.
DEPLOYED = "tests/contracts/test_deployed.py"
# The variable with the folder in which the tests of deployed stacks share one synthesis.
SHARED_ASSEMBLY = "CDK_LAMBDA_PATTERNS_SHARED_ASSEMBLY"
# Rooms in which no test needs the embedded AWS, apart from `DEPLOYED`; importing them takes seconds.
WITHOUT_AWS = ("tests/handlers", "tests/constructs", "tests/stacks", "tests/contracts")
SHOWN_SLOWEST = 10
# How often the line with the progress is written anew.
_NOTE_SECONDS = 1.0
# Bytes of free memory with which temporary files may be in memory.
_ROOM = 8 * 2**30
_PERCENT = re.compile(r"\[ *(\d+)%\]")
_NO_TESTS = 5  # pytest's exit code when it found nothing to run


@dataclass(frozen=True)
class Check:
    """One check: a Python module with its arguments.

    Args:
        name: What it is called in the output.
        module: The module to run: a linter, or pytest.
        arguments: The module's arguments.
        folder: Where it runs.
        may_be_empty: Whether pytest passes when it finds no test.
        computes: Whether it only computes, and so may run at a lower priority.
        validates: Whether each synthesis in it checks the template against CloudFormation's rules. That takes
            half of the time of the constructs' tests; the check of the catalogue does it for all of them.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    folder: Path = ROOT
    may_be_empty: bool = False
    computes: bool = False
    validates: bool = False

    @property
    def log(self) -> Path:
        """The file for its output."""
        return LOGS / f"test-{re.sub('[^a-z0-9]+', '-', self.name.lower())}.log"

    @property
    def report(self) -> Path | None:
        """The file for the results of its tests, if it is pytest."""
        return self.log.with_suffix(".xml") if self.module == "pytest" else None

    @property
    def command(self) -> list[str]:
        """The command line."""
        report = [f"--junitxml={self.report}"] if self.report else []
        return [sys.executable, "-m", self.module, *self.arguments, *report]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of its process."""
        return {**os.environ, **({} if self.validates else {"CDK_VALIDATION": "false"})}

    @property
    def again(self) -> str:
        """The command with which a person repeats only this check."""
        python = Path(sys.executable)
        shown = python.relative_to(ROOT) if python.is_relative_to(ROOT) and self.folder == ROOT else python
        place = "" if self.folder == ROOT else f"cd {self.folder.relative_to(ROOT)} && "
        return place + shlex.join([str(shown), "-m", self.module, *self.arguments])


@dataclass
class Counts:
    """The numbers of passed, failed and skipped tests."""

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
    """Runs one check at a time from a queue that it shares with the other lanes."""

    queue: list[Check]
    check: Check | None = None
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _began: float = 0.0

    def advance(self) -> tuple[Check, int, float] | None:
        """Start the next check if none runs; return one that has just ended, its exit code and seconds."""
        if self._process is None:
            if self.queue:
                self._start(self.queue.pop(0))
            return None
        code = self._process.poll()
        if code is None or self.check is None:
            return None
        ended, self.check, self._process = self.check, None, None
        return ended, code, time.monotonic() - self._began

    @property
    def is_done(self) -> bool:
        """Whether nothing is running and nothing is left."""
        return self.check is None and not self.queue

    def _start(self, check: Check) -> None:
        self.check, self._began = check, time.monotonic()
        if check.report:
            check.report.unlink(missing_ok=True)
        with check.log.open("wb") as log:
            self._process = subprocess.Popen(
                check.command,
                cwd=check.folder,
                env=check.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=_yield_to_others if check.computes and hasattr(os, "nice") else None,
            )


def _yield_to_others() -> None:
    os.nice(_LOWER_PRIORITY)


def main(arguments: Sequence[str]) -> int:
    """Run the checks, or only pytest when there are arguments for it; return the exit code."""
    full, changed = "--full" in arguments, "--changed" in arguments
    for_pytest = [argument for argument in arguments if argument not in ("--full", "--changed")]
    if for_pytest:
        chosen = [] if full or "-m" in for_pytest else ["-m", "not full"]
        command = [sys.executable, "-m", "pytest", *chosen, *for_pytest]
        return subprocess.run(command, cwd=ROOT, check=False).returncode
    try:
        queue = checks_for(changed_files(ROOT), full=full) if changed else all_checks(full=full)
    except TaskError as error:
        print(f"run.py test: {error}", file=sys.stderr)
        return 1
    LOGS.mkdir(parents=True, exist_ok=True)
    reports = [check.report for check in queue if check.report]
    what = "checks of what changed" if changed else "all checks"
    with temporary_files(), step(what, stream=sys.stdout) as line:
        counts = run_checks(queue, line)
    print(f"\nLogs: {LOGS.relative_to(ROOT)}")
    print("\n".join(slowest(reports)))
    print(counts, flush=True)
    return 1 if counts.failed else 0


@contextmanager
def temporary_files() -> Iterator[None]:
    """Give the checks a folder for their shared synthesis and, if it is in memory, all temporary files."""
    place = memory()
    with TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)  # as root, PostgreSQL is run by another user
        assembly = Path(folder, "assembly")
        assembly.mkdir()
        before = dict(os.environ)
        os.environ.update({SHARED_ASSEMBLY: str(assembly)} | ({"TMPDIR": folder} if place else {}))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


def memory() -> str | None:
    """Return Linux's folder in memory for the temporary files of the tests, if it has room for them.

    The tests make some hundred thousand small files, a thousand for each PostgreSQL, and a file system on a
    disk can take ten times as long to make one.
    """
    folder = "/dev/shm"  # noqa: S108
    if not sys.platform.startswith("linux") or "TMPDIR" in os.environ or not os.access(folder, os.W_OK):
        return None
    there = os.statvfs(folder)
    kilobytes = re.search(r"MemAvailable: *(\d+)", Path("/proc/meminfo").read_text())
    free = min(there.f_bavail * there.f_frsize, int(kilobytes[1]) * 1024 if kilobytes else 0)
    return None if there.f_flag & os.ST_NOEXEC or free < _ROOM else folder


def all_checks(*, full: bool) -> list[Check]:
    """Every check, in the order in which they start: what takes longest comes first."""
    local, other = marks(full=full)
    services = [f"localaws/tests/{name}" for name in SLOW_SERVICES]
    slowest, second, *others = (
        suite(f"the embedded AWS: {name.strip('_')}", local, folder)
        for name, folder in zip(SLOW_SERVICES, services, strict=True)
    )
    apart = ("tests/handlers", "tests/project", "tests/contracts", "tests/stacks")
    handlers, project, *templates = apart
    most, *rest = tests_of_deployed(ARCHITECTURES, local)
    return [
        *linters(),
        most,
        slowest,
        suite("the embedded AWS", local, "localaws/tests", but=services),
        suite("the project", other, project),
        suite("handlers", other, handlers, computes=True),
        suite("templates", other, *templates, computes=True, validates=True),
        suite("everything else", other, but=apart, computes=True),
        second,
        *rest,
        *others,
        suite("run.py on the embedded AWS", local, "tests", but=["tests/local", *WITHOUT_AWS]),
    ]


def checks_for(changed: Sequence[str], *, full: bool) -> list[Check]:
    """The linters, and the tests for some changed files."""
    targets = select_tests(changed, ROOT)
    if "tests" in targets:
        return all_checks(full=full)
    local, other = marks(full=full)
    rows = {row.id for path in changed for row in rows_of(path)}
    deployed = [row for row in ARCHITECTURES if row.id in rows or "tests/local" in targets]
    services = [target for target in targets if target.startswith("localaws/")]
    elsewhere = [
        target for target in targets if not target.startswith(("localaws/", "tests/local", "tests/contracts"))
    ]
    return [
        *linters(),
        *([suite("what changed", other, *targets, may_be_empty=True, validates=True)] if targets else []),
        *([suite("the embedded AWS", local, *services)] if services else []),
        *tests_of_deployed(deployed, local),
        *([suite("run.py on the embedded AWS", local, *elsewhere, may_be_empty=True)] if elsewhere else []),
    ]


def marks(*, full: bool) -> tuple[str, str]:
    """What pytest selects: tests on the embedded AWS, and all others."""
    skipped = "" if full else " and not full"
    return f"local{skipped}", f"not local{skipped}"


def suite(
    name: str,
    marked: str,
    *arguments: str,
    but: Iterable[str] = (),
    may_be_empty: bool = False,
    computes: bool = False,
    validates: bool = False,
) -> Check:
    """A check by pytest: the tests with some marks in some places, but not in others."""
    ignored = [f"--ignore={place}" for place in but]
    return Check(
        f"tests of {name}",
        "pytest",
        ("-m", marked, *arguments, *ignored),
        may_be_empty=may_be_empty,
        computes=computes,
        validates=validates,
    )


def tests_of_deployed(rows: Iterable[Architecture], marked: str) -> Iterator[Check]:
    """The tests that deploy some architectures, a check for each family; the largest family comes first.

    Families of one or two rows share a check: each starts pytest and a server, which takes 3 s of processor
    time.
    """
    families: dict[str, list[str]] = {}
    for row in rows:
        if row.has_scenario:
            families.setdefault(row.family, []).append(row.id)
    small = [family for family, ids in families.items() if len(ids) <= 2]
    checks = [[family] for family in sorted(families, key=lambda family: -len(families[family]))]
    for together in [one for one in checks if one[0] not in small] + ([small] if small else []):
        own = [place for family in together if holds_python(ROOT / (place := f"tests/local/{family}"))]
        ids = [row for family in together for row in families[family]]
        name = f"deployed stacks: {', '.join(together)}"
        yield suite(name, marked, DEPLOYED, *own, "--rows", ",".join(ids))


def linters() -> Iterator[Check]:
    """Style and types, of everything."""
    yield Check("ruff", "ruff", ("check", "--output-format", "concise", "."))
    yield Check("ruff format", "ruff", ("format", "--check", "."))
    yield Check("mypy", "mypy", tuple(room for room in ROOMS if holds_python(ROOT / room)), computes=True)


def holds_python(room: Path) -> bool:
    """Whether there is anything for mypy to read."""
    return room.is_file() or any(room.rglob("*.py"))


def run_checks(queue: list[Check], line: Step, lanes: int = LANES) -> Counts:
    """Run all checks of a queue, some at a time, and report each as it ends."""
    counts = Counts()
    rows = [Lane(queue) for _ in range(lanes)]
    shown = 0.0
    while not all(lane.is_done for lane in rows):
        for lane in rows:
            ended = lane.advance()
            if ended:
                counts.add(report(*ended, line))
        if time.monotonic() - shown >= _NOTE_SECONDS:  # reading six logs more often costs seconds of a run
            shown = time.monotonic()
            line.note(
                ", ".join(f"{check.name}{progress_of(check)}" for lane in rows if (check := lane.check))
            )
        time.sleep(0.05)
    line.note("")
    line.outcome = "FAILED" if counts.failed else "passed"
    return counts


def report(check: Check, code: int, seconds: float, line: Step) -> Counts:
    """Write how a check ended; if it failed, also its output and how to repeat it."""
    counts = count(check, code)
    words = f"{check.name} ({counts})" if check.report else check.name
    line.say(format_line("FAILED" if counts.failed else "passed", words, seconds))
    if counts.failed:
        output = check.log.read_text("utf-8", errors="replace").rstrip()
        line.say(f"\n{output}\n\n  To repeat only this check: {check.again}\n")
    return counts


def count(check: Check, code: int) -> Counts:
    """Count the tests of pytest; any other check counts as one. A failure counts as one at least."""
    counts = Counts()
    if check.may_be_empty and code == _NO_TESTS:
        return counts
    if check.report and check.report.exists():
        for suite in ET.parse(check.report).getroot().iter("testsuite"):  # noqa: S314 - written by pytest
            total, failures, errors, skipped = (
                int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped")
            )
            counts.add(Counts(total - failures - errors - skipped, failures + errors, skipped))
    elif not code:
        counts.passed = 1
    if code and not counts.failed:
        counts.failed = 1
    return counts


class Timed(NamedTuple):
    """A test and how long it took, with the fixtures that were set up for it."""

    seconds: float
    name: str


def slowest(reports: Iterable[Path], number: int = SHOWN_SLOWEST) -> Iterator[str]:
    """Lines with the tests that took longest, from the reports of pytest."""
    tests = [
        Timed(
            float(case.get("time", "0")), f"{case.get('classname', '').replace('.', '/')}: {case.get('name')}"
        )
        for file in reports
        if file.exists()
        for case in ET.parse(file).getroot().iter("testcase")  # noqa: S314 - written by pytest
    ]
    if tests:
        yield f"The {min(number, len(tests))} slowest tests, with what was set up for them:"
        for test in sorted(tests, reverse=True)[:number]:
            yield f"{format_seconds(test.seconds):>12}  {test.name}"


def progress_of(check: Check) -> str:
    """How far pytest is, as it says itself."""
    if not check.report:
        return ""
    found = _PERCENT.findall(check.log.read_text("utf-8", errors="replace"))
    return f" {found[-1]}%" if found else ""


if __name__ == "__main__":
    os.chdir(ROOT)
    console.start(main)
