"""`run.py local`: an embedded AWS, ready for the CDK, for your own cdk, aws, boto3 and run.py.

With `--shell` it is used from a shell, with `-- COMMAND` by a command; it ends with them. Otherwise it runs
until ctrl-C, and other terminals use it after sourcing the file that is printed.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from localaws import BootstrapError, LocalAws, LocalAwsError
from localaws.server.processes import descendants
from tasks import console
from tasks.aws_cli import describe, write_wrapper
from tasks.cdk import FOR_THIS_MACHINE, ROOT, cli
from tasks.commands import parse
from tasks.environment import DROPPED, Environment
from tasks.process import end_with_parent
from tasks.progress import step

_NEXT_STEPS = """
Next steps:
  python3 run.py deploy thumbnailer   # or, in a folder with an app of yours: cdk deploy
  aws s3 ls
  python3 run.py verify thumbnailer
  python3 run.py addresses            # how curl reaches load balancers, APIs and function URLs
"""
_ENDED = "The embedded AWS has ended."


def main(arguments: list[str]) -> int:
    """Run the embedded AWS, and return the exit code of the shell or of the command that used it."""
    options = parse("local", arguments)
    try:
        aws = LocalAws(region=options.region)
    except ValueError as error:
        _tell(f"run.py local: {error}")
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    if not (options.shell or options.command):
        end_with_parent()
    try:
        with aws:
            with step("embedded AWS, ready for the CDK"):
                aws.bootstrap(cli())
            folder = Path(aws.environment["AWS_CONFIG_FILE"]).parent  # private, removed at the end
            script = write_script(folder, {**aws.environment, **FOR_THIS_MACHINE})
            if options.command:
                return _run(options.command, script, options.folder)
            _tell(describe(shutil.which("aws")))
            if options.shell:
                _tell(f"{_NEXT_STEPS}\nThe embedded AWS ends with this shell. Its log: {aws.log_file}")
                return _run(_shell(script), script, options.folder)
            _tell("In another terminal, this line makes cdk, aws, boto3 and run.py use this AWS:\n")
            print(f". {shlex.quote(str(script))}", flush=True)
            _tell(f"{_NEXT_STEPS}\nctrl-C ends it with all its processes. Its log: {aws.log_file}")
            aws.wait()
    except KeyboardInterrupt:
        _tell(f"\n{_ENDED}")
        # ctrl-C is how it ends, unless a command or a shell was to run and never did.
        return 130 if options.shell or options.command else 0
    except (BootstrapError, LocalAwsError) as error:
        _tell(f"run.py local: {error}")
        return 1
    return 0


def write_script(folder: Path, variables: Mapping[str, str]) -> Path:
    """Write the file that a POSIX shell sources, and the programs that it puts first on the PATH.

    Args:
        folder: A private folder: the file has the secret of the account.
        variables: What clients of the embedded AWS need.
    """
    environment = Environment(ROOT)
    programs = write_wrapper(folder / "bin")
    path = ":".join(shlex.quote(str(one)) for one in (programs, *environment.folders()))
    lines = [
        "# Use the embedded AWS of `run.py local` in this shell.",
        # An endpoint for one service would take precedence over the general one.
        "for name in $(env | sed -n 's/^\\(AWS_ENDPOINT_URL_[A-Z0-9_]*\\)=.*/\\1/p'); do",
        '  unset "$name"',
        "done",
        f"unset {' '.join(DROPPED)}",
        f'export PATH={path}:"$PATH"',
        *exports({**environment.settings(), **variables}),
    ]
    script = folder / "env.sh"
    script.touch(mode=0o600)
    script.write_text("\n".join(lines) + "\n", "utf-8")
    return script


def exports(environment: Mapping[str, str]) -> list[str]:
    """Return lines for a shell that set the variables."""
    return [f"export {name}={shlex.quote(value)}" for name, value in sorted(environment.items())]


def _shell(script: Path) -> list[str]:
    """The user's shell; after its own start-up files, which may put other programs first, it sources ours."""
    shell = os.environ.get("SHELL") or "/bin/sh"
    folder, ours = script.parent, f'. {shlex.quote(str(script))}\nPS1="(embedded AWS) $PS1"\n'
    if Path(shell).name == "bash":
        start = folder / "bashrc"
        start.write_text(f"[ -f ~/.bashrc ] && . ~/.bashrc\n{ours}")
        return [shell, "--rcfile", str(start)]
    if Path(shell).name == "zsh":
        own = shlex.quote(os.environ.get("ZDOTDIR", str(Path.home())))
        start = folder / ".zshrc"
        start.write_text(f'ZDOTDIR={own}\n[ -f "$ZDOTDIR/.zshrc" ] && . "$ZDOTDIR/.zshrc"\n{ours}')
        return ["env", f"ZDOTDIR={folder}", shell]
    return [shell]


def _run(command: Sequence[str], script: Path, folder: str) -> int:
    """Run a command after sourcing the script, with our terminal, and return its exit code.

    ctrl-C reaches the command, too; it decides whether to end.
    """
    sourced = '. "$1" && cd "$2" && shift 2 && exec "$@"'
    line = ["/bin/sh", "-c", sourced, "run.py local", str(script), folder, *command]
    process = subprocess.Popen(line)
    try:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = process.wait()
        signal.signal(signal.SIGINT, before)
    except KeyboardInterrupt:  # SIGTERM
        code = _end(process)
    return 128 - code if code < 0 else code


def _end(process: subprocess.Popen[bytes]) -> int:
    """End a command with its descendants, and return its exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):  # an interactive shell ignores the first
        for pid in (*descendants(process.pid), process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(1)
    return process.wait()


def _tell(sentence: str) -> None:
    """Write for a person to standard error: standard output has only the line for the shell."""
    print(sentence, file=sys.stderr, flush=True)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Treat SIGTERM as ctrl-C, but only once: the clean-up must not be interrupted."""
    signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    console.start(main)
