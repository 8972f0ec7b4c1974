"""The command line of run.py: its tasks, with the arguments of each.

Only the standard library is imported here: help and refusals need no environment, so a task's arguments are
checked before anything is set up.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NamedTuple

from stacks.catalogue import ARCHITECTURES
from tasks.errors import TaskError, unknown

DEFAULT_DEMO = "thumbnailer"


def architecture_id(value: str) -> str:
    """Check an id of the catalogue."""
    ids = [row.id for row in ARCHITECTURES]
    if value not in ids:
        raise argparse.ArgumentTypeError(unknown("architecture", value, ids, see="`python3 run.py list`"))
    return value


def at_least_one(value: str) -> int:
    """Check a number of things."""
    if not value.isdecimal() or not int(value):
        raise argparse.ArgumentTypeError(f"{value!r} is not a whole number from 1 on")
    return int(value)


def _no_arguments(_: argparse.ArgumentParser) -> None:
    pass


def _id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", type=architecture_id, help="the architecture")


def _optional_id(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id", metavar="ID", nargs="?", type=architecture_id, help="the architecture (default: all)"
    )


def _demo(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "id",
        metavar="ID",
        nargs="?",
        type=architecture_id,
        default=DEFAULT_DEMO,
        help="the architecture (default: %(default)s)",
    )
    which.add_argument("--all", action="store_true", help="every architecture of the catalogue")
    parser.add_argument(
        "--picture",
        action="store_true",
        help="put the picture that the run makes, if it makes one, next to the page (docs/FAMILY/ID-run.svg)",
    )


def _test(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--changed", action="store_true", help="only what differs from the branch main")
    parser.add_argument("--full", action="store_true", help="also the longer proofs")


def _verify(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("--stack", metavar="NAME", help="name of the stack (default: the id)")
    parser.add_argument("--out", metavar="FOLDER", help="folder for the results (default: out)")


def _why(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument(
        "--without",
        metavar="ACTION",
        help="take this permission, such as s3:GetObject, from its roles first",
    )


def _redrive(parser: argparse.ArgumentParser) -> None:
    _id(parser)
    parser.add_argument("--stack", metavar="NAME", help="name of the stack (default: the id)")
    parser.add_argument(
        "--limit",
        metavar="N",
        type=at_least_one,
        default=1000,
        help="at most this many messages (%(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be done")


def _local(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--region", metavar="R", default="us-east-1", help="the region (default: %(default)s)"
    )
    parser.add_argument("--shell", action="store_true", help="open a shell that uses it, and end with it")
    # run.py adds this: the task itself runs in the checkout.
    parser.add_argument("--folder", default=".", help=argparse.SUPPRESS)


def _docs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a page is stale")


def _site(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FOLDER", help="the folder to build it in (default: build/site)")
    parser.add_argument("--open", action="store_true", help="open it in a browser")
    parser.add_argument(
        "--pictures", action="store_true", help="take the pictures of it in README.md again (docs/images)"
    )


def _bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", metavar="NAME", nargs="?", help="the benchmark (default: all)")
    parser.add_argument("--list", action="store_true", help="only list them")


class Task(NamedTuple):
    """A task of run.py.

    Args:
        name: The first argument of run.py.
        usage: Its arguments in one line.
        does: What it does, in one line.
        module: Runs it inside the environment; empty if there is nothing to run.
        leading: Arguments that the module gets before the user's.
        bare: Whether it needs no environment, only the standard library.
        add_arguments: Adds its arguments to a parser.
        passes_on: Who gets the arguments that it does not know; empty if there may be none.
        takes_name: Whether its first argument is a name, and the others are what it passes on.
        takes_command: Whether the words after `--` are a command.
    """

    name: str
    usage: str
    does: str
    module: str = ""
    leading: tuple[str, ...] = ()
    bare: bool = False
    add_arguments: Callable[[argparse.ArgumentParser], None] = _no_arguments
    passes_on: str = ""
    takes_name: bool = False
    takes_command: bool = False


_CDK = "the CDK's command line (`cdk {} --help` in `run.py local --shell` lists them)"

TASKS = (
    Task(
        "demo",
        "[ID | --all]",
        "deploy on the embedded AWS, send real events, show the results",
        "tasks.demo",
        add_arguments=_demo,
    ),
    Task(
        "why",
        "ID [--without ACTION]",
        "deploy on the embedded AWS, run the scenario, explain what IAM denies and the grant that is missing",
        "tasks.why",
        add_arguments=_why,
    ),
    Task(
        "usage",
        "[ID]",
        "deploy on the embedded AWS, send one event, record what AWS would bill for it",
        "tasks.usage",
        add_arguments=_optional_id,
    ),
    Task(
        "test",
        "[--changed | --full | PYTEST ...]",
        "run every check; --changed: what differs from main; --full: the longer proofs, too",
        "tasks.checks",
        add_arguments=_test,
        passes_on="pytest, which then is all that runs",
    ),
    Task("list", "", "list the architectures", "tasks.list", bare=True),
    Task(
        "synth",
        "[ID] [CDK ...]",
        "write the CloudFormation templates",
        "tasks.cdk",
        ("synth",),
        add_arguments=_optional_id,
        passes_on=_CDK.format("synth"),
        takes_name=True,
    ),
    Task(
        "diff",
        "ID [CDK ...]",
        "compare with what is deployed in your AWS account",
        "tasks.cdk",
        ("diff",),
        add_arguments=_id,
        passes_on=_CDK.format("diff"),
        takes_name=True,
    ),
    Task(
        "deploy",
        "ID [CDK ...]",
        "deploy to your AWS account",
        "tasks.cdk",
        ("deploy",),
        add_arguments=_id,
        passes_on=_CDK.format("deploy"),
        takes_name=True,
    ),
    Task(
        "verify",
        "ID [--stack NAME] [--out FOLDER]",
        "send real events to the stack in your AWS account and check the results",
        "tasks.verify",
        add_arguments=_verify,
    ),
    Task(
        "redrive",
        "ID [--stack NAME] [--limit N] [--dry-run]",
        "send the events in the failure queue again",
        "tasks.redrive",
        add_arguments=_redrive,
    ),
    Task(
        "destroy",
        "ID [CDK ...]",
        "delete the stack from your AWS account",
        "tasks.cdk",
        ("destroy",),
        add_arguments=_id,
        passes_on=_CDK.format("destroy"),
        takes_name=True,
    ),
    Task(
        "local",
        "[--region R] [--shell | -- COMMAND ...]",
        "run the embedded AWS for your own cdk, aws and boto3",
        "tasks.local",
        add_arguments=_local,
        takes_command=True,
    ),
    Task(
        "addresses",
        "",
        "show how curl reaches the load balancers, APIs and function URLs of `local`",
        "tasks.addresses",
    ),
    Task(
        "docs",
        "[--check]",
        "write the generated parts of the pages, and draw their pictures",
        "tasks.docs",
        add_arguments=_docs,
    ),
    Task(
        "site",
        "[--out FOLDER] [--open] [--pictures]",
        "build the documentation site, which needs no network to be read",
        "tasks.site",
        add_arguments=_site,
    ),
    Task(
        "bench",
        "[--list | NAME ...]",
        "run the benchmarks",
        "tasks.bench",
        add_arguments=_bench,
        passes_on="the benchmark (`bench NAME --help` lists them)",
        takes_name=True,
    ),
    Task(
        "compat",
        "",
        "try the newest emulator, and the oldest and newest aws-cdk-lib, in fresh environments",
        "tasks.compat",
    ),
    Task("snapshots", "", "accept the current templates", "pytest", ("tests/stacks", "--snapshot-update")),
    Task(
        "lock",
        "[UV ...]",
        "compile the requirements and package-lock.json again",
        "tasks.lock",
        passes_on="uv pip compile, such as --upgrade-package moto",
    ),
    Task("setup", "", "make or repair the environment; every task does this when needed"),
)


def overview() -> str:
    """All tasks, a line each."""
    commands = [f"{task.name} {task.usage}" for task in TASKS]
    width = max(map(len, commands))
    lines = [f"  {command:{width}}  {task.does}" for command, task in zip(commands, TASKS, strict=True)]
    more = "`python3 run.py TASK --help` describes the arguments of a task."
    return "\n".join(["usage: python3 run.py TASK", "", *lines, "", more])


def find_task(name: str) -> Task:
    """The task of that name.

    Raises:
        TaskError: There is none.
    """
    for task in TASKS:
        if task.name == name:
            return task
    raise TaskError(unknown("task", name, [task.name for task in TASKS], see="`python3 run.py`"))


def parse(name: str, arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of a task; those that it passes on are in `rest`, a command after `--` in `command`.

    Raises:
        SystemExit: With 0 after printing the task's help, with 2 after refusing an argument.
    """
    task = find_task(name)
    parser = argparse.ArgumentParser(
        prog=f"run.py {name}",
        usage=f"python3 run.py {name} {task.usage}".rstrip(),
        description=f"{task.does[0].upper()}{task.does[1:]}.",
        epilog=f"All other arguments are passed on to {task.passes_on}." if task.passes_on else None,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("-h", "--help", action="help", help="show this and end")
    task.add_arguments(parser)
    own, command = list(arguments), []
    if task.takes_command and "--" in own:
        own, command = own[: own.index("--")], own[own.index("--") + 1 :]
    rest: list[str] = []
    if not task.passes_on:
        options = parser.parse_args(own)
    elif task.takes_name:  # the values of options that are passed on are no names
        options, rest = parser.parse_known_args(own[:1])
        rest += own[1:]
    else:
        options, rest = parser.parse_known_args(own)
    if name == "test" and options.changed and rest:
        parser.error(f"--changed chooses the tests itself; it cannot be combined with {' '.join(rest)}")
    if task.takes_command and options.shell and command:
        parser.error("--shell cannot be combined with a command after --")
    if task.takes_command and "--" in arguments and not command:
        parser.error("there is no command after --")
    options.rest, options.command = rest, command
    return options
