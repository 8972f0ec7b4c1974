"""The command `localaws`: an embedded AWS for a terminal, which runs until `localaws stop`.

Exit codes: 0 done, 1 failed, 2 wrong arguments, 3 no embedded AWS runs. Results go to standard output, as
JSON Lines with `--json`: an object a line, and no line if there is nothing. Everything else goes to standard
error, and nothing of it with `--quiet`.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from localaws.cdk.cli import VERSION, CdkError, find_cli, install
from localaws.patching import EMULATOR
from localaws.server import installation, outliving
from localaws.server.bootstrap import BootstrapError
from localaws.server.child import LocalAwsError
from localaws.server.installation import InstallationError

if TYPE_CHECKING:
    from localaws import Deployment, LocalAws

_NOT_RUNNING = 3
_POLL_SECONDS = 0.5
_END_SECONDS = 5.0
_FAILURES = (LocalAwsError, BootstrapError, CdkError, InstallationError, LookupError)
_RED, _DIM, _PLAIN = "\x1b[31m", "\x1b[2m", "\x1b[0m"


class _NotRunning(Exception):
    """No embedded AWS with this name runs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return its exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int | None] = options.run
    problem: object
    try:
        code = command(options) or 0
        sys.stdout.flush()
        return code
    except _NotRunning:
        problem, code = f"no embedded AWS {options.name!r} runs; `localaws start` starts one", _NOT_RUNNING
        if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
            problem += f". {endpoint} belongs to a program, such as `run.py local`: this cannot attach to it"
    except BrokenPipeError:  # what this prints is not read any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if _has_ended(options):
            problem, code = f"The embedded AWS {options.name!r} has ended.", _NOT_RUNNING
        elif isinstance(error, _FAILURES):
            problem, code = (error.args or ("",))[0], 1
        elif isinstance(error, ValueError):
            problem, code = error, 2
        else:
            raise
    print(f"localaws {options.command}: {problem}", file=sys.stderr)
    return code


def _has_ended(options: argparse.Namespace) -> bool:
    """Whether the server that a command has used has ended; a moment before, it answers no more."""
    if not getattr(options, "attached", False):
        return False
    deadline = time.monotonic() + (_END_SECONDS if getattr(options, "follow", False) else 0)
    while outliving.find(options.name):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.1)
    return True


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--name", default="default", help="the name of the embedded AWS (default: default)")
    common.add_argument(
        "--json", action="store_true", help="print JSON Lines: an object a line, none if there is nothing"
    )
    common.add_argument("-q", "--quiet", action="store_true", help="print nothing but the result")
    parser = argparse.ArgumentParser(
        prog="localaws", description="An AWS account on this machine, with IAM enforced.", allow_abbrev=False
    )
    version = f"%(prog)s {importlib.metadata.version('pytest-localaws')}"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int | None], help: str) -> Any:
        made = commands.add_parser(name, help=help, description=help, parents=[common], allow_abbrev=False)
        made.set_defaults(run=run)
        return made

    start = command("start", _start, "start an embedded AWS that runs until `localaws stop`")
    start.add_argument("--region", help="its region (default: us-east-1)")
    start.add_argument("--account", help="the id of its account, 12 digits")
    start.add_argument(
        "--account-concurrency",
        type=int,
        metavar="N",
        help="the concurrent executions of functions that its accounts have (default: 1000)",
    )
    start.add_argument("--no-iam", action="store_true", help="do not enforce policies")
    start.add_argument("--log-file", type=Path, help="a file for its log, which is not removed")
    command("status", _status, "show which embedded AWS runs; exit code 3 if none does")
    command("env", _env, 'print the variables for cdk, aws and boto3: eval "$(localaws env)"')
    command("stop", _stop, "stop the embedded AWS, with all that is in it")
    command("reset", _reset, "empty the account")
    deploy = command("deploy", _deploy, "deploy a CDK app, and print the outputs of its stacks")
    deploy.add_argument("app", help="a command ('python app.py'), or the folder of an app or cloud assembly")
    deploy.add_argument("stack", nargs="*", help="the stacks to deploy (default: all)")
    deploy.add_argument("-c", "--context", action="append", default=[], metavar="KEY=VALUE")
    deploy.add_argument("--parameters", action="append", default=[], metavar="[STACK:]NAME=VALUE")
    deploy.add_argument("--folder", type=Path, help="where the command runs (default: the current folder)")
    logs = command("logs", _logs, "print the log of a function")
    logs.add_argument("function", help="its name, or a unique part of its name")
    events = command(
        "events", _events, "print the API calls that IAM was asked for: by whom, and its decision"
    )
    for one in (logs, events):
        one.add_argument("-f", "--follow", action="store_true", help="wait for more, until ctrl-C")
    command(
        "install", _install, "download the server into the user's cache, and the CDK CLI if there is none"
    )
    command(
        "why",
        _why,
        "print what IAM has denied, and the grant that is missing, in CDK code",
    )
    command("ignored", _ignored, "print the properties of the deployed templates that have no effect here")
    return parser


def _attached(options: argparse.Namespace) -> LocalAws:
    from localaws import LocalAws  # late: it takes a while, and `--help` does not need it

    if outliving.find(options.name) is None:
        raise _NotRunning
    options.attached = True
    return LocalAws.attach(options.name)


# --- Commands


def _install(options: argparse.Namespace) -> None:
    if importlib.util.find_spec(EMULATOR):
        server = sys.prefix
    else:
        _tell(options, f"The server, with its own Python packages, into {installation.environment()} ...")
        server = str(installation.install())
    try:
        program = find_cli()
    except CdkError:
        _tell(options, f"The CDK CLI, aws-cdk@{VERSION}, into {installation.cache()} ...")
        program = install()
    _result(options, {"server": server, "cdk": str(program)}, f"server: {server}\nCDK CLI: {program}")


def _start(options: argparse.Namespace) -> None:
    from localaws import LocalAws

    settings: dict[str, Any] = {"iam": not options.no_iam}
    settings |= {name: getattr(options, name) for name in ("region", "account") if getattr(options, name)}
    if options.account_concurrency is not None:
        settings["account_concurrency"] = options.account_concurrency
    if options.log_file:
        settings["log_file"] = str(options.log_file.absolute())
    LocalAws(**settings)  # which refuses wrong arguments
    found = outliving.start(options.name, settings)
    named = "" if options.name == "default" else f" --name {options.name}"
    _result(options, _described(found), f"https://127.0.0.1:{found.ready.port}")
    _tell(options, f'It runs until `localaws stop{named}`. For this shell: eval "$(localaws env{named})"')


def _status(options: argparse.Namespace) -> int:
    running = [found for name in outliving.names() if (found := outliving.find(name))]
    for one in running:
        address = f"https://127.0.0.1:{one.ready.port}"
        text = f"{one.name}  {address}  {one.options.account}  {one.options.region}"
        _result(options, _described(one), text)
    if not running:
        _tell(options, "No embedded AWS runs.")
    return 0 if any(one.name == options.name for one in running) else _NOT_RUNNING


def _described(running: outliving.Running) -> dict[str, Any]:
    """What may be shown of a server: without its secret."""
    return {
        "name": running.name,
        "endpoint_url": f"https://127.0.0.1:{running.ready.port}",
        "account": running.options.account,
        "region": running.options.region,
        "iam": running.options.iam,
        "log_file": running.ready.log_file,
        "pid": running.pid,
    }


def _env(options: argparse.Namespace) -> None:
    environment = dict(_attached(options).environment)
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(environment.items())]
    _result(options, environment, "\n".join(lines))


def _stop(options: argparse.Namespace) -> int:
    stopped = outliving.stop(options.name)
    _tell(options, f"The embedded AWS {options.name!r} " + ("has ended." if stopped else "was not running."))
    return 0 if stopped else _NOT_RUNNING


def _reset(options: argparse.Namespace) -> None:
    _attached(options).reset()
    _tell(options, "The account is empty.")


def _deploy(options: argparse.Namespace) -> None:
    aws = _attached(options)
    _tell(options, f"Deploying {options.app} ...")
    deployed: Deployment = aws.deploy(
        options.app,
        options.stack or None,
        folder=options.folder,
        context=_pairs("--context", options.context),
        parameters=_pairs("--parameters", options.parameters),
    )
    lines = [
        f"{stack}.{name} = {value}" for stack, of in deployed.stacks.items() for name, value in of.items()
    ]
    _result(options, deployed.stacks, "\n".join(lines))


def _logs(options: argparse.Namespace) -> None:
    aws = _attached(options)
    logs, name = aws.client("logs"), _function(aws, options.function)
    described = aws.client("lambda").get_function_configuration(FunctionName=name)
    group = described.get("LoggingConfig", {}).get("LogGroup", f"/aws/lambda/{name}")
    seen: set[str] = set()
    since = 0
    for _ in _rounds(follow=options.follow):
        try:
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since)
            events = [event for page in pages for event in page["events"]]
        except logs.exceptions.ResourceNotFoundException:  # it has not been invoked yet
            continue
        for event in [one for one in events if one["eventId"] not in seen]:
            _result(options, event, event["message"].rstrip("\n"))
            since = max(since, event["timestamp"])
        seen |= {event["eventId"] for event in events}


def _function(aws: LocalAws, given: str) -> str:
    """The name of a function, by a part of it that no other name has."""
    pages = aws.client("lambda").get_paginator("list_functions").paginate()
    names = [one["FunctionName"] for page in pages for one in page["Functions"]]
    found = [name for name in names if name == given] or [name for name in names if given in name]
    if len(found) != 1:
        problem = "several functions match" if found else "no function matches"
        raise LookupError(f"{problem} {given!r}; there are: {', '.join(found or names) or 'none'}")
    return str(found[0])


def _events(options: argparse.Namespace) -> None:
    aws, last = _attached(options), 0
    for _ in _rounds(follow=options.follow):
        for call in aws.calls(last):
            last = call.number
            at = time.strftime("%H:%M:%S", time.localtime(call.at))
            line = f"{at}  {call.action}  {call.resource}  {call.principal}"
            text = _painted(line, _DIM) if call.allowed else _painted(f"{line}  DENIED", _RED)
            _result(options, asdict(call), text)


def _why(options: argparse.Namespace) -> None:
    explained = _attached(options).explain()
    for one in explained:
        _result(options, asdict(one), f"{_painted('denied', _RED)}  {one}")
    if not explained:
        _tell(options, "IAM has denied nothing since the last reset.")


def _ignored(options: argparse.Namespace) -> None:
    dropped = _attached(options).dropped_properties()
    for one in dropped:
        _result(options, asdict(one), f"{one}  {one.logical_id} in {one.stack}")
    if not dropped:
        _tell(options, "Every property that was deployed has an effect, as far as can be seen.")


# --- What they share


def _rounds(*, follow: bool) -> Any:
    """One round, or rounds until ctrl-C."""
    yield
    while follow:
        sys.stdout.flush()
        time.sleep(_POLL_SECONDS)
        yield


def _pairs(option: str, given: Sequence[str]) -> dict[str, str]:
    pairs = [one.partition("=") for one in given]
    for name, separator, _ in pairs:
        if not separator or not name:
            raise ValueError(f"{option} {name}: give a name and a value, NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _result(options: argparse.Namespace, value: object, text: str) -> None:
    """Print a result: a line of JSON, or text for a person."""
    shown = json.dumps(value, default=dict) if options.json else text
    if shown:
        print(shown)


def _tell(options: argparse.Namespace, sentence: str) -> None:
    if not options.quiet:
        print(sentence, file=sys.stderr)


def _painted(text: str, colour: str) -> str:
    """The text in a colour, on a terminal only (https://no-color.org)."""
    dumb = os.environ.get("TERM", "dumb") == "dumb"
    if not sys.stdout.isatty() or dumb or os.environ.get("NO_COLOR"):
        return text
    return f"{colour}{text}{_PLAIN}"


if __name__ == "__main__":
    sys.exit(main())
