"""Finding and killing everything that came from one process, on Linux and on macOS."""

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
    """Become the parent of descendants whose own parent dies (Linux; elsewhere init takes them).

    Then a worker that made its own session, and whose parent was killed, can still be found.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def parents() -> dict[int, int]:
    """Return the id of each process that has not ended, with its parent's."""
    if sys.platform == "linux":  # small images have no `ps`
        return dict(filter(None, map(_linux_parent, Path("/proc").iterdir())))
    with subprocess.Popen(["ps", "-A", "-o", "pid=,ppid=,stat="], stdout=subprocess.PIPE, text=True) as ps:
        assert ps.stdout
        rows = [line.split() for line in ps.stdout]
    # It sees itself, and processes that have ended and wait for their parent to notice.
    return {int(pid): int(parent) for pid, parent, state in rows if state[0] != "Z" and int(pid) != ps.pid}


def _linux_parent(entry: Path) -> tuple[int, int] | None:
    if not entry.name.isdigit():
        return None
    try:
        # The second field is the command in parentheses, which may itself hold blanks and parentheses.
        state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
    except OSError:
        return None  # it ended meanwhile
    return None if state == "Z" else (int(entry.name), int(parent))


def descendants(root: int) -> list[int]:
    """Return the ids of all processes below `root`, nearest first."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found = list(children.get(root, []))
    for pid in found:  # grows while it is walked
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
        orphans: Whether every child of the calling process goes too: those that it adopted.
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
        # Another may have been born, or adopted, while these were killed.
        doomed = {pid for pid in doomed if is_alive(pid)} | (
            set(descendants(os.getpid())) if orphans else set()
        )


def reap() -> dict[int, int]:
    """Take leave of children that ended, so that they do not stay as zombies; return their exit statuses."""
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            ended[child[0]] = child[1]
    return ended


def is_alive(pid: int) -> bool:
    """Return whether a process of this id exists and has not ended."""
    return pid in parents()
