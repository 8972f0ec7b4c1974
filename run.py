#!/usr/bin/env python3
"""The one entry point: `python3 run.py` lists the tasks, `python3 run.py TASK` runs one.

Needs Python 3.11 and nothing else. The first task makes .venv and node_modules; a stamp in .venv records that
they are complete. Each task is a module of `tasks/` and runs inside that environment.

An older Python must be able to parse this file to say that it is too old: it has the syntax of Python 3.6.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - this is where an older Python is turned away
    import shutil
    import subprocess

    def is_there(name: str) -> bool:
        """Whether that Python starts: what is on PATH may be a version manager's shim for a missing one."""
        return bool(shutil.which(name)) and not subprocess.call([name, "-c", ""], stderr=subprocess.DEVNULL)

    newer = [name for name in ("python3.13", "python3.12", "python3.11", "python3.14") if is_there(name)]
    advice = "install one from https://www.python.org/downloads/ or with your system's package manager"
    if newer:
        advice = f"start it with `{newer[0]} run.py`, which is installed here"
    version = ".".join(str(number) for number in sys.version_info[:2])
    sys.exit(f"run.py needs Python 3.11 or newer, and this is Python {version}: {advice}.")

import errno
import os
from pathlib import Path

from tasks import console
from tasks.commands import TASKS, Task, find_task, overview, parse
from tasks.environment import Environment
from tasks.errors import DiskFullError, TaskError, disk_is_full
from tasks.process import run

__all__ = ["TASKS", "main"]

ROOT = Path(__file__).resolve().parent
_HELP = ("help", "-h", "--help")


def main(arguments: list[str]) -> int:
    """Run the task on the command line and return the exit code: 2 for a command line that is wrong."""
    if arguments[:1] == ["help"] and arguments[1:]:
        arguments = [arguments[1], "--help"]
    if not arguments or arguments[0] in _HELP:
        print(overview())
        return 0
    try:
        task = find_task(arguments[0])
        parse(task.name, arguments[1:])
    except TaskError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 2
    try:
        return perform(task, arguments[1:])
    except TaskError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # from setting up; a task runs in its own process
        reason = str(DiskFullError(ROOT) if disk_is_full(error) else error)
        if isinstance(error, PermissionError) or error.errno == errno.EROFS:
            reason += f". The environment and the logs are in {ROOT}, which must be writable."
        print(f"run.py: {reason}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nrun.py: stopped; the same command again continues from here.", file=sys.stderr)
        return 130


def perform(task: Task, arguments: list[str]) -> int:
    """Make the environment if needed, and run the task in it."""
    if task.bare:
        return run([sys.executable, "-m", task.module, *arguments], env=os.environ, folder=ROOT)
    environment = Environment(ROOT)
    environment.prepare(checks=task.name in ("test", "docs"))
    if not task.module:
        print("The environment is ready.")
        return 0
    command = [str(environment.python), "-m", task.module, *task.leading, *arguments]
    if task.takes_command:
        options = parse(task.name, arguments)
        command[3:3] = ["--folder", os.getcwd()]  # noqa: PTH109
        if options.shell or options.command:  # it is the user's, with the user's terminal: nothing in between
            os.chdir(ROOT)
            os.execve(command[0], command, environment.variables())  # noqa: S606
    return run(command, env=environment.variables(), folder=ROOT)


if __name__ == "__main__":
    console.start(main)
