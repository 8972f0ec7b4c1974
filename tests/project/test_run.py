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
from tasks import commands
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

    def prepare(_: Environment, *, checks: bool = False) -> None:
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
        ("dmeo", "There is no task 'dmeo': did you mean 'demo'? `python3 run.py` shows all "),
        ("xyzzy", "There is no task 'xyzzy': `python3 run.py` shows all "),
        ("--version", "There is no task '--version'"),
        ("demo thumbnailr", "There is no architecture 'thumbnailr': did you mean 'thumbnailer'? `python3 "),
        ("demo nonsense", "There is no architecture 'nonsense': `python3 run.py list` shows"),
        ("deploy nothing-like-it", "There is no architecture 'nothing-like-it': `python3 run.py list` shows"),
        ("demo --al", "unrecognized arguments: --al"),
        ("demo thumbnailer --all", "--all: not allowed with argument ID"),
        ("demo thumbnailer canary-alias", "unrecognized arguments: canary-alias"),
        ("deploy", "the following arguments are required: ID"),
        ("deploy --all", "the following arguments are required: ID"),
        ("destroy --force", "the following arguments are required: ID"),
        ("diff", "the following arguments are required: ID"),
        ("diff -c region=eu-west-1 thumbnailer", "the following arguments are required: ID"),
        ("verify", "the following arguments are required: ID"),
        ("verify thumbnailer --st x", "unrecognized arguments: --st x"),
        ("why", "the following arguments are required: ID"),
        ("why thumbnailer --without", "--without: expected one argument"),
        ("redrive thumbnailer --dry", "unrecognized arguments: --dry"),
        ("redrive thumbnailer --limit 0", "'0' is not a whole number from 1 on"),
        ("list --json", "unrecognized arguments: --json"),
        ("docs --ch", "unrecognized arguments: --ch"),
        ("snapshots thumbnailer", "unrecognized arguments: thumbnailer"),
        ("setup --force", "unrecognized arguments: --force"),
        ("addresses x", "unrecognized arguments: x"),
        ("local ls", "unrecognized arguments: ls"),
        ("local --reg x", "unrecognized arguments: --reg x"),
        ("local --shell -- ls", "--shell cannot be combined with a command"),
        ("local --", "there is no command after --"),
        ("test --changed -k x", "--changed chooses the tests itself; it cannot be combined with -k x"),
    ],
)
def test_what_a_task_does_not_know_is_refused_with_what_it_knows(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code_of(arguments.split()) == 2
    assert message in capsys.readouterr().err


def exit_code_of(arguments: list[str]) -> object:
    try:
        return run.main(arguments)
    except SystemExit as end:
        return end.code


@pytest.mark.usefixtures("refuses_to_prepare")
@pytest.mark.parametrize("task", run.TASKS, ids=lambda task: task.name)
def test_every_task_has_its_own_help(task: commands.Task, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([task.name, "--help"], [task.name, "-h"], ["help", task.name]):
        assert exit_code_of(arguments) == 0
        shown = capsys.readouterr().out
        assert shown.startswith(f"usage: python3 run.py {task.name}")
        assert task.does[1:] in " ".join(shown.split())


@pytest.mark.parametrize(
    ("arguments", "rest"),
    [
        ("bench synth --help", ["--help"]),
        (
            "deploy canary-alias -c release=2 --require-approval never",
            ["-c", "release=2", "--require-approval", "never"],
        ),
        ("synth --quiet", ["--quiet"]),
        ("synth -c region=eu-west-1", ["-c", "region=eu-west-1"]),
        ("test --full tests/tasks -k x", ["tests/tasks", "-k", "x"]),
        ("lock --upgrade-package moto", ["--upgrade-package", "moto"]),
    ],
)
def test_some_tasks_pass_arguments_on(arguments: str, rest: list[str]) -> None:
    name, *others = arguments.split()
    assert commands.parse(name, others).rest == rest


def test_a_command_after_two_dashes_is_not_read() -> None:
    options = commands.parse("local", ["--region", "eu-west-1", "--", "cdk", "--help", "--", "x"])
    assert options.command == ["cdk", "--help", "--", "x"]
    assert options.region == "eu-west-1"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no run bits")
def test_it_can_be_started_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(sys.executable)
    path = {**os.environ, "PATH": f"{tmp_path}:{os.defpath}"}
    done = subprocess.run([ROOT / "run.py", "list"], env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "thumbnailer" in done.stdout


@pytest.mark.parametrize("redirected", ["", "2>&1"])
@pytest.mark.parametrize("arguments", ["list", "help", "demo --help"])
def test_a_reader_that_ends_first_sees_no_traceback(arguments: str, redirected: str) -> None:
    line = f"'{sys.executable}' run.py {arguments} {redirected} | true"
    done = subprocess.run(line, shell=True, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S602
    assert done.stderr == ""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_arrows_gets_plain_ones(encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "list"],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"S3 upload -> Lambda -> thumbnails" in done.stdout


def test_what_cannot_be_written_is_named(tmp_path: Path) -> None:
    """As in a checkout that is read-only; root may write there, so the test uses a folder as a file."""
    script = "import sys; from tasks import console; console.start(lambda words: open(words[0], 'w') and 0)"
    readonly = tmp_path / "log"
    readonly.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script, str(readonly)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == f"run.py: cannot write {readonly}: Is a directory.\n"


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "run.py: The disk that holds .* is full: .*Free some",
        ),
        (PermissionError(errno.EACCES, "Permission denied", "/x/.venv"), 1, "Permission denied: '/x/.venv'"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), 1, "Read-only .*: '/x'.* must be writable"),
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
    def prepare(_: Environment, *, checks: bool = False) -> None:
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
    ready = SimpleNamespace(
        prepare=lambda **_: None, python=sys.executable, variables=lambda: dict(os.environ)
    )
    monkeypatch.setattr(run, "Environment", lambda root: ready)
    (tmp_path / "answers.py").write_text("import sys; sys.exit(int(sys.argv[1]))")
    monkeypatch.setattr(run, "ROOT", tmp_path)
    assert run.perform(commands.Task("answer", "", "", "answers"), ["41"]) == 41
