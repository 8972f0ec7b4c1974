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

import os
from pathlib import Path
from typing import NamedTuple

from stacks.catalogue import ARCHITECTURES
from tasks.environment import Environment
from tasks.errors import DiskFullError, TaskError, disk_is_full, unknown
from tasks.process import run

ROOT = Path(__file__).resolve().parent


class Task(NamedTuple):
    """A task: its name, its arguments, what it does, and what runs it inside the environment."""

    name: str
    arguments: str
    does: str
    module: str = ""
    leading: tuple[str, ...] = ()  # arguments that the module gets before the user's
    takes_id: bool = False  # its first argument, if it is no option, is the id of an architecture
    bare: bool = False  # needs no environment: the standard library is enough


TASKS = (
    Task(
        "demo",
        "[ID | --all]",
        "deploy on the embedded AWS, send real events, show the results",
        "tasks.demo",
        takes_id=True,
    ),
    Task(
        "test",
        "[--changed | --full | PYTEST ...]",
        "run every check; --changed: what differs from main; --full: the longer proofs, too",
        "tasks.checks",
    ),
    Task("list", "", "list the architectures", "tasks.list", bare=True),
    Task("synth", "[ID]", "write the CloudFormation templates", "tasks.cdk", ("synth",), takes_id=True),
    Task(
        "diff",
        "ID [CDK ...]",
        "compare with what is deployed in your AWS account",
        "tasks.cdk",
        ("diff",),
        takes_id=True,
    ),
    Task("deploy", "ID [CDK ...]", "deploy to your AWS account", "tasks.cdk", ("deploy",), takes_id=True),
    Task(
        "verify",
        "ID",
        "send real events to the stack in your AWS account and check the results",
        "tasks.verify",
        takes_id=True,
    ),
    Task("redrive", "ID", "send the events in the failure queue again", "tasks.redrive", takes_id=True),
    Task(
        "destroy",
        "ID [CDK ...]",
        "delete the stack from your AWS account",
        "tasks.cdk",
        ("destroy",),
        takes_id=True,
    ),
    Task("local", "", "run the embedded AWS for aws, boto3 and cdk in another terminal", "tasks.local"),
    Task("docs", "[--check]", "write the generated parts of the pages", "tasks.docs"),
    Task("bench", "[NAME]", "run the benchmarks", "tasks.bench"),
    Task(
        "snapshots",
        "",
        "accept the current templates",
        "pytest",
        ("tests/stacks", "--snapshot-update"),
    ),
    Task("lock", "", "compile requirements.txt and package-lock.json again", "tasks.lock"),
    Task("setup", "", "make or repair the environment; every task does this when needed"),
)


def main(arguments: list[str]) -> int:
    """Run the task on the command line and return the exit code."""
    if not arguments or arguments[0] in ("help", "-h", "--help"):
        print(overview())
        return 0
    try:
        return perform(find_task(arguments[0]), arguments[1:])
    except TaskError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # from setting up; a task runs in its own process
        print(f"run.py: {DiskFullError(ROOT) if disk_is_full(error) else error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nrun.py: stopped; the same command again continues from here.", file=sys.stderr)
        return 130


def overview() -> str:
    """All tasks, a line each."""
    commands = [f"{task.name} {task.arguments}" for task in TASKS]
    width = max(map(len, commands))
    lines = [f"  {command:{width}}  {task.does}" for command, task in zip(commands, TASKS, strict=True)]
    return "\n".join(["usage: python3 run.py TASK", "", *lines])


def find_task(name: str) -> Task:
    """The task of that name."""
    for task in TASKS:
        if task.name == name:
            return task
    raise TaskError(unknown("task", name, [task.name for task in TASKS], see="`python3 run.py`"))


def perform(task: Task, arguments: list[str]) -> int:
    """Make the environment if needed, and run the task in it."""
    if task.takes_id:
        check_id(arguments)
    if task.bare:
        return run([sys.executable, "-m", task.module, *arguments], env=os.environ, folder=ROOT)
    environment = Environment(ROOT)
    environment.prepare()
    if not task.module:
        print("The environment is ready.")
        return 0
    command = [str(environment.python), "-m", task.module, *task.leading, *arguments]
    return run(command, env=environment.variables(), folder=ROOT)


def check_id(arguments: list[str]) -> None:
    """Refuse an id that does not exist before anything is set up or deployed for it."""
    ids = [architecture.id for architecture in ARCHITECTURES]
    if arguments and not arguments[0].startswith("-") and arguments[0] not in ids:
        raise TaskError(unknown("architecture", arguments[0], ids, see="`python3 run.py list`"))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
