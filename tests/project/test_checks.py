"""`run.py test`: what fails is shown, counted, and can be repeated alone; what passes is a line."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from tasks import checks
from tasks.checks import Check, Counts, Lane, handler_folders, lanes, run_lanes
from tasks.progress import Step

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """These checks run in a folder of their own, and have their logs there."""
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    monkeypatch.setattr(checks, "LOGS", tmp_path / "logs")
    checks.LOGS.mkdir()
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # quicker


def shown_by(*rows: list[Check]) -> tuple[Counts, str]:
    """Run lanes of checks: the counts and what was written."""
    stream = io.StringIO()
    line = Step("all checks", stream)
    counts = run_lanes([Lane(row) for row in rows], line)
    return counts, stream.getvalue()


def module(folder: Path, name: str, code: str) -> Check:
    """A check that runs a module."""
    (folder / f"{name}.py").write_text(code)
    return Check(name, name, (), folder)


def suite(folder: Path, name: str, code: str) -> Check:
    """A check that runs pytest on one file."""
    (folder / f"test_{name}.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return Check(f"tests {name}", "pytest", (f"test_{name}.py", "-p", "no:cacheprovider"), folder)


def test_a_check_that_passes_is_a_line_and_counts_as_one(tmp_path: Path) -> None:
    counts, shown = shown_by([module(tmp_path, "fine", "print('chatter')")])
    assert str(counts) == "1 passed, 0 failed"
    assert shown.split()[:2] == ["passed", "fine"]
    assert "chatter" not in shown


def test_a_check_that_fails_shows_what_it_printed_and_how_to_repeat_it(tmp_path: Path) -> None:
    bad = module(tmp_path, "bad", "import sys; print('the reason'); sys.exit(3)")
    counts, shown = shown_by([bad, module(tmp_path, "fine", "")])
    assert str(counts) == "1 passed, 1 failed"
    assert shown.split()[:2] == ["FAILED", "bad"]
    assert "the reason" in shown
    assert f"to repeat it alone: {bad.again}" in shown


def test_the_tests_of_pytest_are_counted_one_by_one(tmp_path: Path) -> None:
    tests = suite(
        tmp_path,
        "mixed",
        "import pytest\n"
        "def test_a(): pass\n"
        "def test_b(): pass\n"
        "def test_c(): assert False, 'the reason'\n"
        "def test_d(): pytest.skip()\n"
        "@pytest.fixture\ndef broken(): raise OSError\n"
        "def test_e(broken): pass\n",
    )
    counts, shown = shown_by([tests])
    assert str(counts) == "2 passed, 2 failed, 1 skipped"
    assert "the reason" in shown


@pytest.mark.parametrize(
    "code", ["def test_a(: pass", "import os; os._exit(1)", ""], ids=["syntax", "crash", "no test at all"]
)
def test_pytest_that_gets_nowhere_is_a_failure(tmp_path: Path, code: str) -> None:
    counts, _ = shown_by([suite(tmp_path, "none", code)])
    assert counts.failed == 1


def test_the_results_of_an_earlier_run_are_not_counted(tmp_path: Path) -> None:
    check = suite(tmp_path, "twice", "def test_a(): pass")
    shown_by([check])
    (tmp_path / "test_twice.py").write_text("import os; os._exit(1)")
    counts, _ = shown_by([check])
    assert str(counts) == "0 passed, 1 failed"


def test_lanes_run_beside_each_other(tmp_path: Path) -> None:
    wait = (
        "import pathlib, time\n{}.touch()\nend = time.monotonic() + 10\n"
        "while not {}.exists():\n    assert time.monotonic() < end"
    )
    a, b = f"pathlib.Path({str(tmp_path / 'a')!r})", f"pathlib.Path({str(tmp_path / 'b')!r})"
    first = module(tmp_path, "first", wait.format(a, b))
    second = module(tmp_path, "second", wait.format(b, a))
    counts, shown = shown_by([first], [second])
    assert str(counts) == "2 passed, 0 failed", shown


@pytest.mark.parametrize(
    ("code", "closing", "exit_code"), [("", "1 passed, 0 failed", 0), ("1/0", "0 passed, 1 failed", 1)]
)
def test_the_last_line_is_the_count_alone(
    tmp_path: Path,
    code: str,
    closing: str,
    exit_code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(checks, "lanes", lambda full: [Lane([module(tmp_path, "one", code)])])
    assert checks.main([]) == exit_code
    assert capsys.readouterr().out.splitlines()[-1] == closing


def test_every_handler_is_checked_by_itself_and_every_test_is_in_one_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "ROOT", ROOT)
    rows = [check for lane in lanes(full=False) for check in lane.checks]
    names = [check.name for check in rows]
    folders = list(handler_folders())
    assert folders
    for folder in folders:
        assert f"mypy: {folder.parent.name}/{folder.name}" in names
    assert "mypy: shared" in names
    local = "local and not full"
    embedded_aws = "localaws/tests"
    assert (ROOT / embedded_aws).is_dir()
    assert [check.arguments for check in rows if check.module == "pytest"] == [
        ("-m", "not local and not full"),
        ("-m", local, embedded_aws),
        ("-m", local, "tests"),
    ]
    assert [
        check.arguments[1] for lane in lanes(full=True) for check in lane.checks if check.module == "pytest"
    ] == ["not local", "local", "local"]


def test_arguments_go_to_pytest_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, returncode=5)

    monkeypatch.setattr(subprocess, "run", run)
    assert checks.main(["tests/project", "-k", "wheel"]) == 5
    assert checks.main(["--full", "tests/project"]) == 5
    assert commands == [
        [sys.executable, "-m", "pytest", "-m", "not full", "tests/project", "-k", "wheel"],
        [sys.executable, "-m", "pytest", "tests/project"],
    ]
