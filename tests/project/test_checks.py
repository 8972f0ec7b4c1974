"""`run.py test`: one line for a check that passes; for one that fails its output and how to repeat it."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stacks.catalogue import ARCHITECTURES
from tasks import checks
from tasks.checks import Check, Counts, all_checks, checks_for, run_checks, slowest
from tasks.errors import TaskError
from tasks.progress import Step

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def other_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the checks of a test in its own folder, with their logs there."""
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    monkeypatch.setattr(checks, "LOGS", tmp_path / "logs")
    checks.LOGS.mkdir()
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # quicker


def run(*queue: Check, lanes: int = 1) -> tuple[Counts, str]:
    """Run checks; return the counts and the output."""
    stream = io.StringIO()
    counts = run_checks(list(queue), Step("all checks", stream), lanes)
    return counts, stream.getvalue()


def module(folder: Path, name: str, code: str) -> Check:
    """Write a module; return the check that runs it."""
    (folder / f"{name}.py").write_text(code)
    return Check(name, name, (), folder)


def suite(folder: Path, name: str, code: str) -> Check:
    """Write a file of tests; return the check that runs pytest on it."""
    (folder / f"test_{name}.py").write_text(code)
    (folder / "pytest.ini").write_text("[pytest]\n")
    return Check(f"tests {name}", "pytest", (f"test_{name}.py", "-p", "no:cacheprovider"), folder)


def test_a_check_that_passes_is_one_line_and_counts_as_one(tmp_path: Path) -> None:
    counts, shown = run(module(tmp_path, "fine", "print('chatter')"))
    assert str(counts) == "1 passed, 0 failed"
    assert shown.split()[:2] == ["passed", "fine"]
    assert "chatter" not in shown


def test_a_check_that_fails_is_shown_with_its_output_and_how_to_repeat_it(tmp_path: Path) -> None:
    bad = module(tmp_path, "bad", "import sys; print('the reason'); sys.exit(3)")
    counts, shown = run(bad, module(tmp_path, "fine", ""))
    assert str(counts) == "1 passed, 1 failed"
    assert shown.split()[:2] == ["FAILED", "bad"]
    assert "the reason" in shown
    assert f"To repeat only this check: {bad.again}" in shown


def test_each_test_of_pytest_is_counted(tmp_path: Path) -> None:
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
    counts, shown = run(tests)
    assert str(counts) == "2 passed, 2 failed, 1 skipped"
    assert "the reason" in shown


@pytest.mark.parametrize(
    "code", ["def test_a(: pass", "import os; os._exit(1)", ""], ids=["syntax", "crash", "no test at all"]
)
def test_pytest_that_runs_no_test_is_a_failure(tmp_path: Path, code: str) -> None:
    counts, shown = run(suite(tmp_path, "none", code))
    assert counts.failed == 1
    assert shown.split()[0] == "FAILED"


def test_only_a_check_that_may_be_empty_passes_without_tests(tmp_path: Path) -> None:
    empty = suite(tmp_path, "none", "")
    crash = suite(tmp_path, "crash", "import os; os._exit(1)")
    checks_that_may = [
        Check(one.name, "pytest", one.arguments, tmp_path, may_be_empty=True) for one in (empty, crash)
    ]
    counts, shown = run(*checks_that_may)
    assert str(counts) == "0 passed, 1 failed"
    assert re.findall(r"(passed|FAILED) +tests (\w+)", shown) == [("passed", "none"), ("FAILED", "crash")]


def test_results_of_an_earlier_run_are_not_counted(tmp_path: Path) -> None:
    check = suite(tmp_path, "twice", "def test_a(): pass")
    run(check)
    (tmp_path / "test_twice.py").write_text("import os; os._exit(1)")
    counts, _ = run(check)
    assert str(counts) == "0 passed, 1 failed"


def test_lanes_run_checks_at_the_same_time_and_take_them_from_one_queue(tmp_path: Path) -> None:
    wait = (
        "import pathlib, time\n{}.touch()\nend = time.monotonic() + 60\n"
        "while not {}.exists():\n    assert time.monotonic() < end"
    )
    a, b = f"pathlib.Path({str(tmp_path / 'a')!r})", f"pathlib.Path({str(tmp_path / 'b')!r})"
    first = module(tmp_path, "first", wait.format(a, b))
    second = module(tmp_path, "second", wait.format(b, a))
    counts, shown = run(first, second, module(tmp_path, "third", ""), lanes=2)
    assert str(counts) == "3 passed, 0 failed", shown


@pytest.mark.parametrize(
    ("code", "closing", "exit_code"), [("", "1 passed, 0 failed", 0), ("1/0", "0 passed, 1 failed", 1)]
)
def test_the_last_line_is_the_count(
    tmp_path: Path,
    code: str,
    closing: str,
    exit_code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(checks, "all_checks", lambda full: [module(tmp_path, "one", code)])
    assert checks.main([]) == exit_code
    assert capsys.readouterr().out.splitlines()[-1] == closing


def test_the_slowest_tests_are_listed_before_the_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import time\ndef test_quick(): pass\ndef test_slow(): time.sleep(0.2)\n"
    monkeypatch.setattr(checks, "all_checks", lambda full: [suite(tmp_path, "timed", code)])
    assert checks.main([]) == 0
    *_, title, first, second, closing = capsys.readouterr().out.splitlines()
    assert title == "The 2 slowest tests, with what was set up for them:"
    # In the order of their times; on a busy machine, the quick one may have taken longer.
    found = [re.fullmatch(r" +([\d.]+) s  test_timed: (test_\w+)", line) for line in (first, second)]
    times = {one[2]: float(one[1]) for one in found if one}
    assert times.keys() == {"test_slow", "test_quick"}
    assert times["test_slow"] >= 0.2
    assert [*times.values()] == sorted(times.values(), reverse=True)
    assert closing == "2 passed, 0 failed"


def test_no_more_than_ten_tests_are_listed(tmp_path: Path) -> None:
    cases = "".join(f'<testcase classname="tests.a" name="t{n}" time="{n}.5"/>' for n in range(20))
    report = tmp_path / "report.xml"
    report.write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    title, first, *others = slowest([report, tmp_path / "missing.xml"])
    assert title.startswith("The 10 slowest tests")
    assert first == "      19.5 s  tests/a: t19"
    assert len(others) == 9
    assert list(slowest([])) == []


def files(place: str) -> set[str]:
    """The test files in a folder of this checkout, or the file itself."""
    path = ROOT / place
    return (
        {place} if path.is_file() else {file.relative_to(ROOT).as_posix() for file in path.rglob("test_*.py")}
    )


def files_of(check: Check) -> set[str]:
    """The test files that a check runs, or would if they had a test with its marks."""
    arguments = [name for name in check.arguments[2:] if not name.startswith("--rows") and "," not in name]
    ignored = [name.removeprefix("--ignore=") for name in arguments if name.startswith("--ignore=")]
    places = [name for name in arguments if (ROOT / name).exists()] or ["tests", "localaws/tests"]
    return set[str]().union(*map(files, places)) - set[str]().union(*map(files, ignored))


@pytest.mark.parametrize(("full", "rest"), [(False, " and not full"), (True, "")])
def test_every_test_file_is_in_one_check_of_each_kind(
    full: bool, rest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "ROOT", ROOT)
    everything = files("tests") | files("localaws/tests")
    found: dict[str, list[str]] = {}
    rows: list[str] = []
    for check in all_checks(full=full):
        if check.module == "pytest":
            taken = files_of(check)
            if "--rows" in check.arguments:  # each deploys its own rows for these tests
                taken.remove(checks.DEPLOYED)
                rows += check.arguments[check.arguments.index("--rows") + 1].split(",")
            found.setdefault(check.arguments[1], []).extend(taken)
    without_aws = set[str]().union(*map(files, checks.WITHOUT_AWS))
    assert sorted(found[f"local{rest}"]) == sorted(everything - without_aws)
    assert sorted(found[f"not local{rest}"]) == sorted(everything)
    assert sorted(rows) == sorted(row.id for row in ARCHITECTURES if row.has_scenario)


def test_only_the_check_of_the_catalogue_validates_what_it_synthesises(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CDK_VALIDATION", raising=False)
    validating = [check for check in all_checks(full=False) if "CDK_VALIDATION" not in check.environment]
    assert [check.name for check in validating] == ["tests of templates"]
    assert "tests/stacks" in validating[0].arguments
    assert {check.environment.get("CDK_VALIDATION") for check in all_checks(full=True)} == {None, "false"}


def test_no_test_in_the_rooms_without_the_embedded_aws_needs_it() -> None:
    for file in set[str]().union(*map(files, checks.WITHOUT_AWS)) - {checks.DEPLOYED}:
        assert "mark.local" not in (ROOT / file).read_text("utf-8"), file


def test_the_folders_with_a_check_of_their_own_exist() -> None:
    for name in checks.SLOW_SERVICES:
        assert files(f"localaws/tests/{name}"), name


def test_one_run_of_mypy_reads_every_room_with_python_in_it(tmp_path: Path) -> None:
    (tmp_path / "run.py").touch()
    (tmp_path / "lambda_src" / "storage" / "thumbnailer").mkdir(parents=True)
    (tmp_path / "lambda_src" / "storage" / "thumbnailer" / "handler.py").touch()
    (tmp_path / "benchmarks").mkdir()
    (mypy,) = [check for check in checks.linters() if check.module == "mypy"]
    assert mypy.arguments == ("run.py", "lambda_src")


def pytest_for(*changed: str) -> list[tuple[str, ...]]:
    """The arguments of each check by pytest for some changed files."""
    return [check.arguments for check in checks_for(changed, full=False) if check.module == "pytest"]


def test_what_changed_selects_tests_and_deploys_only_the_rows_that_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "ROOT", ROOT)
    local, other = "local and not full", "not local and not full"
    one = "tests/tasks/test_cdk.py"
    assert pytest_for(one) == [("-m", other, one), ("-m", local, one)]
    assert pytest_for() == []
    (quick, deployed, stacks) = pytest_for("lambda_src/storage/thumbnailer/handler.py")
    assert "tests/contracts" in quick
    assert deployed == ("-m", local, checks.DEPLOYED, "tests/local/storage", "--rows", "thumbnailer")
    assert "tests/stacks" in stacks
    rows = [arguments[-1] for arguments in pytest_for("scenarios/framework.py") if "--rows" in arguments]
    assert sorted(",".join(rows).split(",")) == sorted(row.id for row in ARCHITECTURES if row.has_scenario)
    service = "localaws/tests/s3/test_events.py"
    assert pytest_for(service) == [("-m", other, service), ("-m", local, service)]
    whole = [check.arguments for check in all_checks(full=False) if check.module == "pytest"]
    assert pytest_for("requirements.txt") == whole


def test_without_git_changes_cannot_be_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_git(root: Path) -> list[str]:
        raise TaskError("not a git checkout")

    monkeypatch.setattr(checks, "changed_files", no_git)
    assert checks.main(["--changed"]) == 1
    assert capsys.readouterr().err == "run.py test: not a git checkout\n"


def test_temporary_files_are_in_memory_if_it_has_room_and_the_user_has_no_other_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    before = dict(os.environ)
    monkeypatch.setattr(checks, "_ROOM", 0)
    place = checks.memory()
    with checks.temporary_files():
        assert place is None or os.environ["TMPDIR"].startswith(place)
        assert Path(os.environ[checks.SHARED_ASSEMBLY]).is_dir()
    assert dict(os.environ) == before
    monkeypatch.setattr(checks, "_ROOM", 2**60)
    assert checks.memory() is None
    monkeypatch.setattr(checks, "_ROOM", 0)
    monkeypatch.setenv("TMPDIR", "/of/the/user")
    assert checks.memory() is None


def test_arguments_are_passed_to_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def record(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, returncode=5)

    monkeypatch.setattr(subprocess, "run", record)
    assert checks.main(["tests/project", "-k", "wheel"]) == 5
    assert checks.main(["--full", "tests/project"]) == 5
    assert commands == [
        [sys.executable, "-m", "pytest", "-m", "not full", "tests/project", "-k", "wheel"],
        [sys.executable, "-m", "pytest", "tests/project"],
    ]
