"""Kills execution environments on an embedded AWS, as a crash of a machine would."""

from pathlib import Path

from localaws import LocalAws
from localaws.server import processes


def kill_environments(aws: LocalAws, function: str | None = None) -> int:
    """Kill the environments of a function, or of all functions, without warning; return how many."""
    workers = [
        pid for pid in processes.descendants(aws._ready.pid) if function is None or _runs(pid, function)
    ]
    for worker in workers:
        processes.kill(worker)
    return len(workers)


def _runs(pid: int, function: str) -> bool:
    try:
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it has ended
        return False
    return f"AWS_LAMBDA_FUNCTION_NAME={function}".encode() in variables
