"""`run.py local`: another terminal, a shell or a command uses the embedded AWS, and nothing else."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localaws import LocalAws
from localaws.server.processes import descendants, is_alive
from tasks import local
from tasks.local import exports, main

ROOT = Path(__file__).parents[2]


@pytest.fixture
def task() -> Iterator[subprocess.Popen[str]]:
    """The running task."""
    running = subprocess.Popen(
        [sys.executable, "-m", "tasks.local", "--region", "eu-central-1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    yield running
    running.kill()
    running.wait()


def _printed(task: subprocess.Popen[str]) -> str:
    """Read the line to source, and the next steps after it."""
    assert task.stderr
    assert task.stdout
    printed = ""
    while "ctrl-C ends it" not in printed:
        line = task.stderr.readline()
        assert line, printed  # it ended instead
        printed += line
    assert "python3 run.py deploy thumbnailer" in printed
    return task.stdout.readline()


def _variables(printed: str, **own: str) -> dict[str, str]:
    """What a shell makes of the lines."""
    ran = subprocess.run(
        ["/bin/sh"],
        input=f"{printed}\nenv -0",
        capture_output=True,
        text=True,
        env={"PATH": os.defpath, **own},
    )
    assert not ran.stderr
    return dict(pair.split("=", 1) for pair in ran.stdout.split("\0") if pair)


@pytest.mark.local
def test_another_terminal_uses_it(task: subprocess.Popen[str], tmp_path: Path) -> None:
    variables = _variables(_printed(task), AWS_ENDPOINT_URL_S3="https://s3.example.com", PYTHONHOME="/x")
    assert not {"AWS_ENDPOINT_URL_S3", "PYTHONHOME"} & set(variables)
    secrets = Path(variables["AWS_CONFIG_FILE"]).with_name("env.sh")
    assert secrets.stat().st_mode & 0o077 == 0
    script = "import boto3; print(boto3.client('cloudformation').describe_stacks()['Stacks'][0]['StackName'])"
    ran = subprocess.run(
        ["python3", "-c", f"import aws_cdk; {script}"], env=variables, capture_output=True, text=True
    )
    assert ran.stdout.strip() == "CDKToolkit", ran.stderr

    words = ["bootstrap", "aws://123456789012/eu-central-1", "--no-notices", "--ci"]
    ran = subprocess.run(
        ["cdk", *words],
        env={**variables, "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "bootstrapped" in ran.stdout + ran.stderr


@pytest.mark.local
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_cleanly(task: subprocess.Popen[str], number: signal.Signals) -> None:
    folder = Path(_variables(_printed(task))["AWS_CONFIG_FILE"]).parent
    os.killpg(task.pid, number)
    assert task.wait(60) == 0
    assert not folder.exists()


_RUN = """
import os, sys
from pathlib import Path
from tasks.process import run
run([sys.executable, "-m", *sys.argv[1:]], env=os.environ, folder=Path.cwd())
"""


@pytest.mark.local
@pytest.mark.parametrize("task", [("tasks.local",), ("tasks.demo", "sqs-consumer")])
def test_it_ends_when_run_py_is_killed(task: tuple[str, ...], tmp_path: Path) -> None:
    with (tmp_path / "printed").open("w") as printed:
        runner = subprocess.Popen(
            [sys.executable, "-c", _RUN, *task],
            cwd=ROOT,
            stdout=printed,
            stderr=printed,
            start_new_session=True,
        )
    _wait(lambda: len(descendants(runner.pid)) >= 3)  # the task, the keeper and the server
    started = descendants(runner.pid)
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    _wait(lambda: not any(map(is_alive, started)))


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.local
def test_it_says_so_when_the_server_ends_by_itself(task: subprocess.Popen[str]) -> None:
    _printed(task)
    keeper, server = descendants(task.pid)[:2]
    os.kill(server, signal.SIGKILL)
    assert task.wait(60) == 1
    assert task.stderr
    assert "ended by itself (signal SIGKILL)" in task.stderr.read()
    assert not is_alive(keeper)


def test_a_region_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--region", "x"]) == 2
    assert "region='x': it must be the code of an AWS region" in capsys.readouterr().err


_SEEN = """
import os, shutil, sys
import boto3
print(os.getcwd())
print(shutil.which("cdk"), shutil.which("aws"), sep="\\n")
print(boto3.client("sts").get_caller_identity()["Account"])
print(os.environ["AWS_CONFIG_FILE"])
sys.exit(41)
"""


@pytest.mark.local
def test_a_command_runs_in_the_folder_of_the_caller_and_its_exit_code_is_passed_on(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "run.py"), "local", "--", "python3", "-c", _SEEN]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 41, ran.stderr
    folder, cdk, aws, account, config = ran.stdout.splitlines()
    assert folder == str(tmp_path)
    assert cdk == str(ROOT / "node_modules" / ".bin" / "cdk")
    assert aws == str(Path(config).parent / "bin" / "aws")
    assert account == "123456789012"
    assert not Path(config).exists(), "the embedded AWS ends with the command"


def test_ctrl_c_before_the_command_has_run_is_no_success(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: LocalAws) -> LocalAws:
        raise KeyboardInterrupt

    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(LocalAws, "__enter__", interrupted)
    assert main(["--", "true"]) == 130
    assert "The embedded AWS has ended." in capsys.readouterr().err


@pytest.mark.local
def test_a_command_ends_with_it(tmp_path: Path) -> None:
    command = ["sh", "-c", "sleep 60 & echo $! > started; wait"]
    running = subprocess.Popen(
        [sys.executable, str(ROOT / "run.py"), "local", "--", *command], cwd=tmp_path, start_new_session=True
    )
    started = tmp_path / "started"
    _wait(lambda: started.exists() and bool(started.read_text()))
    running.terminate()
    assert running.wait(60) == 128 + signal.SIGTERM
    assert not is_alive(int(started.read_text()))


@pytest.mark.local
def test_a_shell_uses_it_after_its_own_start_up_files(tmp_path: Path) -> None:
    """Bash reads .bashrc only when it is interactive, so it gets a terminal."""
    (tmp_path / ".bashrc").write_text("export PATH=/usr/bin:/bin AWS_ENDPOINT_URL=https://example.com\n")
    (temporary := tmp_path / "temporary files").mkdir()
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash on this machine")
    terminal, end = pty.openpty()
    running = subprocess.Popen(
        [sys.executable, "-m", "tasks.local", "--shell"],
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path), "SHELL": bash, "TMPDIR": str(temporary)},
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    os.write(terminal, b"command -v cdk\nkill -INT $$\necho url=$AWS_ENDPOINT_URL\nexit 7\n")
    shown = b""
    with contextlib.suppress(OSError):  # how the end of a terminal is reported
        while select.select([terminal], [], [], 60)[0] and (part := os.read(terminal, 65536)):
            shown += part
    os.close(terminal)
    assert running.wait(60) == 7, shown
    assert str(ROOT / "node_modules" / ".bin" / "cdk").encode() in shown
    assert b"url=https://127.0.0.1:" in shown
    assert b"(embedded AWS)" in shown


@pytest.mark.parametrize(("command", "code"), [("./missing", 127), ("/", 126)])
def test_a_command_that_cannot_start_is_named(
    command: str, code: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (script := tmp_path / "env.sh").touch()
    assert local._run([command], script, str(tmp_path)) == code
    shown = capfd.readouterr().err
    assert shown.startswith("run.py local: ")
    assert command in shown


def test_values_are_quoted_for_the_shell() -> None:
    lines = "\n".join(exports({"A": "a b'c", "B": "", "C": "$HOME;rm"}))
    assert _variables(lines).items() >= {"A": "a b'c", "B": "", "C": "$HOME;rm"}.items()
