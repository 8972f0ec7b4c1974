"""`run.py local`: another terminal with the printed variables, and nothing else, uses the embedded AWS."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localaws.server.bootstrap import find_cli
from localaws.server.processes import descendants, is_alive
from tasks.local import exports

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
    """Read what is to be exported, until the sentence that follows it."""
    assert task.stderr
    assert task.stdout
    printed = ""
    while "another terminal" not in printed:
        line = task.stderr.readline()
        assert line, printed  # it ended instead
        printed += line
    lines: list[str] = []
    while len(lines) < 60:
        line = task.stdout.readline()
        lines.append(line)
        if line.startswith("export no_proxy="):  # the last one in the alphabet
            return "".join(lines)
    raise AssertionError(lines)


def _variables(printed: str) -> dict[str, str]:
    """What a shell makes of the lines."""
    ran = subprocess.run(["/bin/sh"], input=f"{printed}\nenv -0", capture_output=True, text=True, env={})
    assert not ran.stderr
    return dict(pair.split("=", 1) for pair in ran.stdout.split("\0") if pair)


@pytest.mark.local
def test_another_terminal_uses_it(task: subprocess.Popen[str], tmp_path: Path) -> None:
    variables = _variables(_printed(task))
    script = "import boto3; print(boto3.client('cloudformation').describe_stacks()['Stacks'][0]['StackName'])"
    ran = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True)
    assert ran.stdout.strip() == "CDKToolkit", ran.stderr

    words = ["bootstrap", "aws://123456789012/eu-central-1", "--no-notices", "--ci"]
    ran = subprocess.run(
        [find_cli(), *words],
        env={**variables, "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
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
    assert task.wait(10) == 0
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
    _wait(lambda: len(descendants(runner.pid)) >= 3, 30)  # the task, the keeper and the server
    started = descendants(runner.pid)
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    _wait(lambda: not any(map(is_alive, started)), 20)


def _wait(condition: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.local
def test_it_says_so_when_the_server_ends_by_itself(task: subprocess.Popen[str]) -> None:
    _printed(task)
    keeper, server = descendants(task.pid)[:2]
    os.kill(server, signal.SIGKILL)
    assert task.wait(10) == 1
    assert task.stderr
    assert "ended by itself (signal SIGKILL)" in task.stderr.read()
    assert not is_alive(keeper)


def test_values_are_quoted_for_the_shell() -> None:
    lines = exports({"A": "a b'c", "B": "", "C": "$HOME;rm"})
    assert _variables(lines).items() >= {"A": "a b'c", "B": "", "C": "$HOME;rm"}.items()
