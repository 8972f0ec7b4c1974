"""The CDK CLI: where it is, and how it runs with its output in a log."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from localaws.server.installation import cache, writing

#: Notices come from the network, and the version report adds a resource that only counts constructs.
QUIET = ("--no-notices", "--no-version-reporting", "--no-color", "--ci")

#: The release that `install` installs: npm's tag `latest` may be older than an app's aws-cdk-lib allows.
VERSION = "2.1148.1"

# Seconds for a CLI to stop; a deployment continues in CloudFormation in any case.
_GRACE = 5.0
_LAST_LINES = 40


class CdkError(RuntimeError):
    """The CDK CLI is not there, or failed; the message has the last lines of its output."""


def find_cli(*folders: Path) -> Path:
    """Return the CDK CLI: `LOCALAWS_CDK`, that of the project, that on the PATH, or an installed one.

    Args:
        *folders: Folders of the project; their parents are searched for `node_modules`, too. By default the
            current folder.

    Raises:
        CdkError: There is none.
    """
    if given := os.environ.get("LOCALAWS_CDK"):
        if not os.access(given, os.X_OK):
            raise CdkError(f"LOCALAWS_CDK={given!r}: there is no such program; give the path of the CDK CLI")
        return Path(given)
    starts = [folder.resolve() for folder in folders or (Path(),)]
    for parent in [parent for start in starts for parent in (start, *start.parents)]:
        program = parent / "node_modules" / ".bin" / "cdk"
        if os.access(program, os.X_OK):
            return program
    if found := shutil.which("cdk"):
        return Path(found)
    if os.access(_installed(), os.X_OK):
        return _installed()
    raise CdkError(
        f"There is no CDK CLI: no node_modules/.bin/cdk in {starts[-1]} or above it, and no `cdk` on the "
        "PATH. Install it with `npm install aws-cdk` or `localaws install`, or name it in LOCALAWS_CDK."
    )


def install() -> Path:
    """Install the CDK CLI by npm into the cache, unless it is there, and return it.

    Raises:
        CdkError: There is no npm, or it failed; the message has its output.
    """
    program = _installed()
    if os.access(program, os.X_OK):
        return program
    environment = with_python(os.environ)
    npm = shutil.which("npm", path=environment.get("PATH"))
    if not npm:
        raise CdkError(
            "There is no npm, which installs the CDK CLI: install Node.js, or `pytest-localaws[node]`"
        )
    folder = program.parents[2]
    with writing():
        folder.mkdir(parents=True, exist_ok=True)
    words = ["install", "--prefix", str(folder), "--no-audit", "--no-fund", f"aws-cdk@{VERSION}"]
    ran = subprocess.run([npm, *words], env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise CdkError(f"`npm install aws-cdk@{VERSION}` failed:\n{ran.stderr.rstrip()}")
    return program


def _installed() -> Path:
    return cache() / f"cdk-{VERSION}" / "node_modules" / ".bin" / "cdk"


def with_python(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment with the programs of this Python's virtual environment first on the PATH.

    So `python app.py` runs with the packages of the test, and Node.js of the extra `node` is found.
    """
    if sys.prefix == sys.base_prefix:
        return dict(environment)
    path = [str(Path(sys.executable).parent), environment.get("PATH", os.defpath)]
    return {**environment, "PATH": os.pathsep.join(path)}


class CommandLine:
    """A CDK CLI with a fixed environment, its output in log files.

    Args:
        program: The CLI.
        logs: The folder for its logs.
        environment: All variables of the CLI and of the app.
    """

    def __init__(self, program: Path, logs: Path, environment: Mapping[str, str]) -> None:
        self._program, self._logs, self._environment = program, logs, dict(environment)

    def run(self, *words: str, folder: Path | None = None) -> str:
        """Run a command to its end, and return its output.

        Args:
            *words: The command and its arguments.
            folder: The folder it runs in. By default that of the logs, which has no `cdk.json`.

        Raises:
            CdkError: It failed.
        """
        with self.running(*words, folder=folder) as started:
            return started.finish()

    @contextlib.contextmanager
    def running(self, *words: str, folder: Path | None = None, name: str = "") -> Iterator[Running]:
        """Run a command while the body runs; `finish` on what is yielded waits for its end.

        Args:
            *words: The command and its arguments.
            folder: The folder it runs in. By default that of the logs.
            name: The name of the log. By default that of the command.
        """
        if not shutil.which("node", path=self._environment.get("PATH")):
            raise CdkError(
                "The CDK CLI needs Node.js, and there is no `node` on the PATH: install it, or the extra "
                "`pytest-localaws[node]`."
            )
        self._logs.mkdir(parents=True, exist_ok=True)
        log = self._logs / f"{name or words[0]}.log"
        line = [str(self._program), *words, *QUIET]
        started = Running(f"cdk {words[0]}", line, folder or self._logs, self._environment, log)
        try:
            yield started
        finally:
            started.end()


class Running:
    """A CLI that runs in a process group of its own.

    Args:
        name: What it is called in a message.
        command: Its command line.
        folder: The folder it runs in.
        environment: All of its variables.
        log: The file for its output.
    """

    def __init__(
        self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self._name = name
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def finish(self) -> str:
        """Wait for its end, and return its output.

        Raises:
            CdkError: It failed.
        """
        code = self._process.wait()
        output = self._log.read_text("utf-8", errors="replace")
        if code:
            lines = output.rstrip().splitlines()[-_LAST_LINES:]
            said = "\n".join(f"  {line}" for line in lines) or "  (it printed nothing)"
            raise CdkError(f"`{self._name}` failed with exit code {code}; the end of {self._log}:\n{said}")
        return output

    def end(self) -> None:
        """End it with its child processes, if it is still running."""
        if self._process.poll() is not None:
            return
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, number)
