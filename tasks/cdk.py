"""Runs the pinned CDK command line: for a user's own account as it is, for the embedded AWS step by step.

`python -m tasks.cdk synth|diff|deploy|destroy [ID] [CDK ...]` runs the CLI on the terminal, with the user's
own AWS configuration. `Cdk` runs it in the background with a log, in the environment that it is given.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tasks import console
from tasks.errors import TaskError, unknown

if TYPE_CHECKING:
    from localaws.cdk.cli import Running

ROOT = Path(__file__).resolve().parent.parent

# Synthesises handlers for the embedded AWS: with dependencies for the Python and processor of this machine.
FOR_THIS_MACHINE = {"CDK_LAMBDA_PATTERNS_BUNDLING": "host"}

# What `Cdk.synthesizing` takes instead of the id of one architecture.
EVERY = "every-architecture"


class CdkError(TaskError):
    """The CDK CLI failed; the message has the last lines of its log."""


class Cdk:
    """The CDK CLI with a fixed environment, its output in log files.

    Args:
        environment: All variables of the CLI and of the app.
        folder: Where the logs, the cloud assemblies and the outputs go.
        validate: Whether the CDK validates the templates against CloudFormation's rules. It takes two
            seconds, and `run.py test` does it for all of them at once.
    """

    def __init__(self, environment: Mapping[str, str], *, folder: Path, validate: bool = False) -> None:
        self._environment = dict(environment) | ({} if validate else {"CDK_VALIDATION": "false"})
        self._folder = folder.resolve()

    @contextlib.contextmanager
    def synthesizing(self, id: str, context: Mapping[str, str] | None = None) -> Iterator[Running]:
        """Synthesise one architecture, or `EVERY` one, while the body runs.

        `finish` on what is yielded waits for it.
        """
        settings = {**({} if id == EVERY else {"only": id}), **(context or {})}
        words = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        words += ["--app", app_command(), "--output", str(self.assembly(id)), "--quiet"]
        with self._running(f"synth-{id}", "synth", *words) as running:
            yield running

    def assembly(self, id: str) -> Path:
        """Where the cloud assembly of an architecture is."""
        return self._folder / f"cdk.out-{id}"

    def deploy(self, id: str, assembly: Path | None = None) -> dict[str, str]:
        """Deploy what was synthesised, and return the outputs of its stack.

        Args:
            id: The architecture.
            assembly: A cloud assembly that another run synthesised. Default: that of `synthesizing`.
        """
        outputs = self._folder / f"outputs-{id}.json"
        outputs.unlink(missing_ok=True)
        words = [id, "--require-approval", "never", "--progress", "events", "--method", "direct"]
        words += ["--app", str(assembly or self.assembly(id)), "--outputs-file", str(outputs)]
        with self._running(f"deploy-{id}", "deploy", *words) as running:
            running.finish()
        by_stack: dict[str, dict[str, str]] = json.loads(outputs.read_text("utf-8"))
        return {name: value for stack in by_stack.values() for name, value in stack.items()}

    def destroy(self, id: str) -> None:
        """Delete the stack that was deployed."""
        with self._running(
            f"destroy-{id}", "destroy", "--all", "--force", "--app", str(self.assembly(id))
        ) as running:
            running.finish()

    @contextlib.contextmanager
    def _running(self, name: str, *words: str) -> Iterator[Running]:
        # Late: `run.py deploy` works on Windows, too, and the embedded AWS does not.
        from localaws.cdk import cli as local

        command = local.CommandLine(cli(), self._folder, self._environment)
        try:
            with command.running(*words, folder=ROOT, name=name) as running:
                yield running
        except local.CdkError as error:
            raise CdkError(str(error)) from None


def cli() -> Path:
    """The pinned CLI.

    Raises:
        TaskError: It is not installed.
    """
    program = ROOT / "node_modules" / ".bin" / ("cdk.cmd" if sys.platform == "win32" else "cdk")
    if not program.exists():
        raise TaskError(
            f"The CDK's command line is not in {ROOT / 'node_modules'}: run `python3 run.py setup`."
        )
    return program


def app_command() -> str:
    """How the CLI starts the app: with the Python that runs this, not with the one on PATH."""
    return f"{shlex.quote(sys.executable)} app.py"


def unknown_option(command: str, words: Sequence[str]) -> str:
    """The first option that the pinned CLI does not know; it would ignore it with a warning. Or nothing."""
    file = ROOT / "node_modules" / "aws-cdk" / "lib" / "cli" / "cli-type-registry.json"
    registry = json.loads(file.read_text("utf-8"))
    known = {"-h", "--help", "--version"}
    for name, option in (registry["globalOptions"] | registry["commands"][command]["options"]).items():
        aliases = option.get("alias", [])
        for each in (name, *([aliases] if isinstance(aliases, str) else aliases)):
            known |= {f"--{each}", f"--no-{each}"} if len(each) > 1 else {f"-{each}"}
    for word in words:
        given = word.partition("=")[0] if word.startswith("--") else word[:2]
        if given.startswith("-") and given not in known:
            return unknown("option", given, known, see=f"`cdk {command} --help`")
    return ""


def main(arguments: list[str]) -> int:
    """Pass a command on to the CLI, on the terminal, with the user's own AWS configuration."""
    command, *rest = arguments
    if refusal := unknown_option(command, rest):
        print(f"run.py {command}: {refusal}", file=sys.stderr)
        return 2
    ids = rest[:1] if rest and not rest[0].startswith("-") else []
    only = ["-c", f"only={ids[0]}"] if ids else []
    words = [str(cli()), command, *ids, *only, "--app", app_command(), *rest[len(ids) :]]
    return subprocess.call(words, cwd=ROOT)


if __name__ == "__main__":
    console.start(main)
