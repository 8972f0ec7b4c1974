"""Descendants are found on each operating system."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from localaws.server import processes


@pytest.fixture(params=["linux", "darwin"])
def platform(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Look for processes as on this operating system."""
    if request.param == "linux" and sys.platform != "linux":
        pytest.skip("there is no /proc")
    if request.param == "darwin" and not shutil.which("ps"):
        pytest.skip("there is no ps")
    monkeypatch.setattr(sys, "platform", request.param)
    return str(request.param)


@pytest.mark.usefixtures("platform")
def test_children_of_children_are_found_and_killed_in_whatever_session() -> None:
    script = (
        "import subprocess, sys, time; "
        "child = subprocess.Popen(['sleep', '600'], start_new_session=True); "
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True
    ) as parent:
        assert parent.stdout
        child = int(parent.stdout.readline())
        assert parent.pid in processes.descendants(os.getpid())
        assert processes.descendants(parent.pid) == [child]
        processes.kill_tree(parent.pid, orphans=False)
        assert not processes.is_alive(child)


@pytest.mark.usefixtures("platform")
def test_the_search_for_processes_does_not_find_itself() -> None:
    assert processes.descendants(os.getpid()) == processes.descendants(os.getpid())


def test_a_process_that_ended_is_not_alive() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert not processes.is_alive(ended.pid)
    assert processes.is_alive(os.getpid())
