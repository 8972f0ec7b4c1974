"""Finds and kills the descendants of a process, on Linux and macOS."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_PATIENCE_SECONDS = 5.0


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ends (on Linux; elsewhere that is init).

    Then a worker in a session of its own can be found after its parent was killed.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def parents() -> dict[int, int]:
    """Return the id of each running process, with that of its parent."""
    if sys.platform == "linux":  # small images have no `ps`
        return dict(filter(None, map(_linux_parent, Path("/proc").iterdir())))
    with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True) as ps:
        assert ps.stdout
        rows = [line.split() for line in ps.stdout]
    # The list includes `ps` itself, and zombies.
    return {int(pid): int(parent) for pid, parent, state in rows if state[0] != "Z" and int(pid) != ps.pid}


def _linux_parent(entry: Path) -> tuple[int, int] | None:
    if not entry.name.isdigit():
        return None
    try:
        # The second field is the command in parentheses, which may contain blanks and parentheses.
        state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None  # it has ended meanwhile
    return None if state == "Z" else (int(entry.name), int(parent))


def descendants(root: int) -> list[int]:
    """Return the ids of all processes below `root`, nearest first."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found = list(children.get(root, []))
    for pid in found:  # grows during the iteration
        found += children.get(pid, [])
    return found


def kill(pid: int) -> None:
    """Kill a process that may have ended already."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, signal.SIGKILL)


def kill_tree(leader: int, *, orphans: bool) -> None:
    """Kill a process, its group and its descendants, and wait until they are gone.

    Args:
        leader: Id of the process, which leads a process group.
        orphans: Whether to kill all children of the calling process, including adopted ones.
    """
    doomed = {leader, *descendants(leader)}
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while doomed and time.monotonic() < deadline:
        for pid in doomed:
            kill(pid)
        if orphans:
            reap()
        time.sleep(0.005)
        # More may have been started or adopted meanwhile.
        doomed = {pid for pid in doomed if is_alive(pid)} | (
            set(descendants(os.getpid())) if orphans else set()
        )


def reap() -> dict[int, int]:
    """Wait for children that have ended, so that they are no zombies; return their exit statuses."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            ended[child[0]] = child[1]
    return ended


def is_alive(pid: int) -> bool:
    """Return whether the process is running."""
    return pid in parents()
