"""No child of run.py outlives it: not after its end, not after ctrl-C, not if it ignores signals."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tasks import process
from tasks.process import run

ROOT = Path(__file__).resolve().parents[2]

# A task that starts a server in the background, writes down both process ids, and waits.
TASK_WITH_SERVER = """
import os, pathlib, subprocess, sys, time
server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(f"{os.getpid()} {server.pid}")
if sys.argv[2] == "waits":
    time.sleep(600)
"""
# It and its server ignore ctrl-C, but it notes that it has heard it.
DEAF_TASK = f"""
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
def hear(*_):
    pathlib.Path(sys.argv[1] + ".heard").touch()
{TASK_WITH_SERVER.replace("pathlib.Path", "signal.signal(signal.SIGINT, hear); pathlib.Path")}
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process_id}/stat")  # a zombie has ended, too
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")


def wait_until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def pids_in(file: Path) -> list[int]:
    wait_until(lambda: file.exists() and len(file.read_text().split()) == 2)
    return [int(word) for word in file.read_text().split()]


@pytest.mark.parametrize("code", [0, 1, 3, 130])
def test_the_exit_code_is_that_of_the_child(code: int, tmp_path: Path) -> None:
    assert run(python(f"import sys; sys.exit({code})"), env=os.environ, folder=tmp_path) == code


def test_the_exit_code_of_a_child_ended_by_a_signal_is_that_of_a_shell(tmp_path: Path) -> None:
    assert run(python("import os; os.kill(os.getpid(), 9)"), env=os.environ, folder=tmp_path) == 128 + 9


def test_all_output_is_in_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "step.log"
    run(python("import sys; print('out'); print('err', file=sys.stderr)"), env={}, folder=tmp_path, log=log)
    assert sorted(log.read_text().split()) == ["err", "out"]


def test_processes_that_a_child_left_running_are_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LEFTOVERS_GRACE", 0.2)
    pids = tmp_path / "pids"
    assert run(python(TASK_WITH_SERVER, str(pids), "ends"), env=os.environ, folder=tmp_path) == 0
    assert not any(is_running(process_id) for process_id in pids_in(pids))


class Runner:
    """A process that does what run.py does with a task, so that only it can be sent a signal."""

    def __init__(self, folder: Path, task: str, *, grace: float, log: bool = False) -> None:
        self.pids = folder / "pids"
        self.heard = folder / "pids.heard"
        code = (
            "import os, sys, tasks.process\n"
            "from pathlib import Path\n"
            "from tasks.process import Stopped, run\n"
            "tasks.process._LEFTOVERS_GRACE = 0.2\n"
            f"log = Path({str(folder / 'log')!r}) if {log} else None\n"
            "try:\n"
            f"    code = run({python(task, str(self.pids), 'waits')!r}, env=os.environ, folder=Path('.'), "
            f"log=log, grace={grace})\n"
            "except Stopped:\n"
            "    code = 77\n"
            "sys.exit(code)\n"
        )
        self.process = subprocess.Popen(python(code), cwd=ROOT, stderr=subprocess.DEVNULL)
        self.started = pids_in(self.pids)

    def end(self, *signals: signal.Signals) -> int:
        """Send the signals, each after the task has heard the one before, and return the exit code."""
        for number in signals[:-1]:
            self.process.send_signal(number)
            wait_until(self.heard.exists)
        self.process.send_signal(signals[-1])
        return self.process.wait(timeout=60)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_run_py_only_ends_the_task_and_its_server(number: signal.Signals, tmp_path: Path) -> None:
    runner = Runner(tmp_path, TASK_WITH_SERVER, grace=600)
    assert runner.end(number) == 128 + number
    assert not any(is_running(process_id) for process_id in runner.started)


def test_a_task_that_ignores_the_signal_is_killed_after_the_grace_period(tmp_path: Path) -> None:
    runner = Runner(tmp_path, DEAF_TASK, grace=0.5)
    assert runner.end(signal.SIGINT) == 128 + signal.SIGKILL
    assert not any(is_running(process_id) for process_id in runner.started)


def test_a_second_ctrl_c_does_not_wait_for_the_grace_period(tmp_path: Path) -> None:
    runner = Runner(tmp_path, DEAF_TASK, grace=600)
    assert runner.end(signal.SIGINT, signal.SIGINT) == 128 + signal.SIGKILL
    assert not any(is_running(process_id) for process_id in runner.started)


def test_a_step_of_the_set_up_that_was_stopped_is_not_reported_as_a_failure(tmp_path: Path) -> None:
    runner = Runner(tmp_path, TASK_WITH_SERVER, grace=600, log=True)
    assert runner.end(signal.SIGINT) == 77
    assert not any(is_running(process_id) for process_id in runner.started)


def test_our_signal_handlers_are_restored_afterwards(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    run(python("pass"), env=os.environ, folder=tmp_path)
    assert signal.getsignal(signal.SIGINT) is before
