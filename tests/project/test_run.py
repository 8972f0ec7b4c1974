"""The command line of run.py: its tasks, its arguments and its errors."""

import ast
import errno
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import run
from tasks.environment import Environment
from tasks.errors import DiskFullError, explain_failure
from tasks.process import Stopped

ROOT = Path(__file__).resolve().parents[2]
SOURCE = (ROOT / "run.py").read_text("utf-8")


def run_py(*arguments: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *options, str(ROOT / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def refuses_to_prepare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if anything is set up."""

    def prepare(_: Environment) -> None:
        raise AssertionError("nothing may be set up for this")

    monkeypatch.setattr(Environment, "prepare", prepare)


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]])
@pytest.mark.usefixtures("refuses_to_prepare")
def test_without_a_task_it_says_what_there_is(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(arguments) == 0
    shown = capsys.readouterr().out
    for task in run.TASKS:
        assert f"  {task.name}" in shown
        assert task.does in shown


def test_every_task_has_its_module() -> None:
    for task in run.TASKS:
        file = ROOT / f"{task.module.replace('.', '/')}.py"
        assert task.name == "setup" or task.module == "pytest" or file.exists(), task


@pytest.mark.usefixtures("refuses_to_prepare")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dmeo"], "There is no task 'dmeo': did you mean 'demo'? `python3 run.py` shows all "),
        (["xyzzy"], "There is no task 'xyzzy': `python3 run.py` shows all "),
        (
            ["demo", "thumbnailr"],
            "There is no architecture 'thumbnailr': did you mean 'thumbnailer'? `python3 ",
        ),
        (
            ["deploy", "nothing-like-it"],
            "There is no architecture 'nothing-like-it': `python3 run.py list` shows",
        ),
    ],
)
def test_a_name_that_does_not_exist_is_refused_with_the_nearest(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(arguments) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "run.py: The disk that holds .* is full: .*Free some",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x/.venv"), 1, "Permission denied: '/x/.venv'"),
        (KeyboardInterrupt(), 130, "stopped; the same command again continues from here"),
        (Stopped(), 130, "stopped; the same command again continues from here"),
    ],
)
def test_what_stops_the_set_up_is_reported_in_a_sentence(
    raised: BaseException,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def prepare(_: Environment) -> None:
        raise raised

    monkeypatch.setattr(Environment, "prepare", prepare)
    assert run.main(["setup"]) == code
    assert re.search(message, capsys.readouterr().err)


def test_set_up_and_list_need_only_the_standard_library() -> None:
    done = run_py("list", options=("-S",))  # -S: without the folders in which packages are installed
    assert done.returncode == 0, done.stderr
    assert "thumbnailer" in done.stdout
    probe = "import tasks.environment, sys; sys.exit('aws_cdk' in sys.modules)"
    assert subprocess.run([sys.executable, "-S", "-c", probe], cwd=ROOT, check=False).returncode == 0


def test_it_works_from_any_folder(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "run.py"), "list"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_ci_runs_what_a_person_runs() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text("utf-8").splitlines()[-1] == "exec python3 run.py test"


def test_python_3_6_can_read_it() -> None:
    ast.parse(SOURCE, feature_version=(3, 6))
    first = [
        node for node in ast.parse(SOURCE).body if isinstance(node, ast.Import | ast.ImportFrom | ast.If)
    ][:2]
    assert isinstance(first[0], ast.Import)
    assert isinstance(first[1], ast.If), "nothing but sys may be imported before the version is checked"


@pytest.mark.parametrize(
    ("there", "advice"),
    [
        (["python3.11", "python3.12"], "start it with `python3.12 run.py`, which is installed here."),
        ([], "install one from https://www.python.org/downloads/"),
    ],
)
def test_an_older_python_says_what_to_do(
    there: list[str], advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: name)  # a shim of a version manager finds them all
    monkeypatch.setattr(subprocess, "call", lambda command, **_: 0 if command[0] in there else 127)
    monkeypatch.setattr(sys, "version_info", (3, 9, 18))
    with pytest.raises(SystemExit, match=r"needs Python 3.11 or newer, and this is Python 3.9: ") as raised:
        exec(compile(SOURCE, "run.py", "exec"), {"__name__": "__main__"})  # noqa: S102
    assert advice in str(raised.value)


def older_pythons() -> list[str]:
    """Each Python older than 3.11 on this machine that starts."""
    found = [f"python3.{minor}" for minor in range(6, 11)]
    found += [str(path) for path in Path.home().glob(".pyenv/versions/3.*/bin/python3")]
    probe = "import sys; sys.exit(sys.version_info >= (3, 11))"
    return [
        name
        for name in found
        if shutil.which(name)
        and not subprocess.run([name, "-c", probe], capture_output=True, check=False).returncode
    ]


def test_an_older_python_that_is_installed_says_so_itself() -> None:
    olds = older_pythons()
    if not olds:
        pytest.skip("there is no Python 3.6 to 3.10 on this machine")
    for python in olds:
        done = subprocess.run([python, str(ROOT / "run.py")], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("run.py needs Python 3.11 or newer, and this is Python 3.")
        assert len(done.stderr.splitlines()) == 1


# What each tool printed when its registry refused, was unknown, silent, or answered 503, and on a full disk.
REFUSALS = {
    "pip, refused": """NewConnectionError('<...>: Failed to establish a new connection: [Errno 111] Connection
refused')': /simple/uv/
ERROR: No matching distribution found for uv==0.13.8""",
    "pip, 503": "ERROR: Could not find a version that satisfies the requirement uv (from versions: none)",
    "pip, silent": "ReadTimeoutError(\"HTTPConnectionPool(host='host'): Read timed out. (timeout=3.0)\")",
    "uv, unknown": """error: Request failed after 3 retries in 10.2s
  cause: Failed to fetch: http://host/simple/uv/
  cause: dns error
  cause: failed to lookup address information: Name or service not known""",
    "uv, silent": "  cause: error sending request for url (http://host/)\n  cause: operation timed out",
    "uv, 503": "  cause: HTTP status server error (503 Service Unavailable) for url (http://host/simple/uv/)",
    "npm, refused": "npm error   code: 'ECONNREFUSED',\nnpm error   errno: 'ECONNREFUSED',",
    "npm, 503": "npm error code E503\nnpm error 503 Service Unavailable - GET http://host/aws-cdk",
}
FULL_DISKS = {
    "pip": "shutil.Error: [('a', 'b', \"[Errno 28] No space left on device: 'a' -> 'b'\")]",
    "uv": "  cause: failed to copy file from a to b: No space left on device (os error 28)",
    "npm": "npm warn tar TAR_ENTRY_ERROR ENOSPC: no space left on device, write\nadded 1 package in 1s",
    "venv": "Error: [Errno 28] No space left on device",
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_registry_that_does_not_answer_is_named_with_what_to_do(case: str, tmp_path: Path) -> None:
    registry = "npm" if case.startswith("npm") else "PyPI"
    log = tmp_path / "step.log"
    log.write_text("Collecting things\n" + REFUSALS[case])
    message = str(explain_failure("packages", log, 1, registry=registry, folder=tmp_path))
    assert message.startswith(
        f"{registry} did not deliver what 'packages' asked for: check the network, a proxy"
    )
    assert message.endswith(f"The whole log: {log}")


@pytest.mark.parametrize("tool", FULL_DISKS)
def test_a_full_disk_is_distinguished_from_another_failure(tool: str, tmp_path: Path) -> None:
    log = tmp_path / "step.log"
    log.write_text(FULL_DISKS[tool])
    error = explain_failure("packages", log, 1, registry="PyPI", folder=tmp_path)
    assert isinstance(error, DiskFullError)
    assert str(error).startswith(f"The disk that holds {tmp_path} is full: ")


def test_any_other_failure_shows_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "step.log"
    log.write_text("\n".join(f"line {number}" for number in range(100)))
    message = str(explain_failure("warm-up", log, 3, registry="", folder=tmp_path)).splitlines()
    assert message[0] == "'warm-up' failed with exit code 3. The same command can be run again."
    assert message[-2:] == ["    line 99", f"The whole log: {log}"]
    assert len(message) < 20


def test_a_tasks_exit_code_is_run_pys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ready = SimpleNamespace(prepare=lambda: None, python=sys.executable, variables=lambda: dict(os.environ))
    monkeypatch.setattr(run, "Environment", lambda root: ready)
    (tmp_path / "answers.py").write_text("import sys; sys.exit(int(sys.argv[1]))")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    assert run.perform(run.Task("answer", "", "", "answers"), ["41"]) == 41
