"""`demo [ID | --all]`: deploys an architecture on the embedded AWS and shows what real events do to it."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import TextIO

from botocore.exceptions import BotoCoreError, ClientError

from localaws import Dropped, LocalAws, LocalAwsError
from localaws.engines import namespaces
from scenarios.framework import DeployedStack, ScenarioFailed
from scenarios.support.faults import Faults
from stacks.catalogue import ARCHITECTURES, Architecture, find
from tasks import console
from tasks.cdk import FOR_THIS_MACHINE, ROOT, Cdk, cli
from tasks.commands import parse
from tasks.errors import TaskError
from tasks.locking import one_at_a_time
from tasks.process import end_with_parent
from tasks.progress import format_seconds, step
from tasks.verify import scenario_of

_LOGS = ROOT / ".cache" / "logs" / "demo"


def main(arguments: list[str]) -> int:
    """Show one architecture, or all of them one after the other."""
    options = parse("demo", arguments)
    signal.signal(signal.SIGTERM, _stop)  # ends as ctrl-C does: with all processes stopped
    end_with_parent()
    began = time.monotonic()
    try:
        for architecture in ARCHITECTURES if options.all else [find(options.id)]:
            if not try_to_demonstrate(architecture, picture=options.picture):
                return 1
    except KeyboardInterrupt:
        print("\nStopped; all processes ended.", file=sys.stderr)
        return 130
    print(f"\nDone in {format_seconds(time.monotonic() - began)}; all processes stopped")
    return 0


def try_to_demonstrate(architecture: Architecture, *, picture: bool = False) -> bool:
    """Demonstrate one architecture, and report why it failed, if it did.

    Args:
        architecture: The row of the catalogue.
        picture: Whether the page gets the picture of this run.

    Demos of different architectures can run at the same time. A second one of the same architecture waits,
    because both write to the same logs and results.
    """
    name = architecture.id
    if not architecture.has_scenario:
        page = f"docs/{architecture.family}/{name}.md"
        print(f"{name}: nothing to run, because only its template is proven; {page} says why")
        return True
    if getattr(scenario_of(name), "NEEDS_NAMESPACES", False) and not namespaces.available():
        print(f"{name}: left out, because functions have no file system of their own on this machine")
        return True
    _LOGS.mkdir(parents=True, exist_ok=True)
    with one_at_a_time(_LOGS / f"{name}.lock", waiting_for=f"another demo of {name}"):
        output = _LOGS / f"{name}.log"
        with output.open("w", encoding="utf-8") as log, _recorded(log):
            try:
                files = demonstrate(architecture, _LOGS / f"aws-{name}.log")
                if picture:
                    keep_picture(architecture, files)
                return True
            except (TaskError, LookupError, LocalAwsError) as error:
                print(f"run.py demo: {name}: {error}", file=sys.stderr)
            except (ScenarioFailed, ClientError, BotoCoreError) as error:
                print(f"\nFAILED: {name}: {error}", file=sys.stderr)
                print(f"If IAM denied something, `python3 run.py why {name}` explains it.", file=sys.stderr)
                traceback.print_exc(file=log)
            except BrokenPipeError:  # what this prints is not read
                raise
            except Exception:
                print(f"\nFAILED: {name}", file=sys.stderr)
                traceback.print_exc()
            print(f"The output of this demo: {output}", file=sys.stderr)
            print(f"The log of the embedded AWS: {_LOGS / f'aws-{name}.log'}", file=sys.stderr)
            return False


class _Tee(io.TextIOBase):
    """Writes to a stream and to a log; the log gets only the lines that stay."""

    def __init__(self, stream: TextIO, log: TextIO) -> None:
        self._stream, self._log = stream, log

    def isatty(self) -> bool:
        return self._stream.isatty()

    def flush(self) -> None:
        self._stream.flush()

    def write(self, text: str) -> int:
        redrawn, _, line = text.rpartition("\x1b[2K")
        if not redrawn or line.endswith("\n"):
            self._log.write(line)
            self._log.flush()
        return self._stream.write(text)


@contextlib.contextmanager
def _recorded(log: TextIO) -> Iterator[None]:
    """Write what is printed in the body to a log, too."""
    with (
        contextlib.redirect_stdout(_Tee(sys.stdout, log)),
        contextlib.redirect_stderr(_Tee(sys.stderr, log)),
    ):
        yield


def demonstrate(architecture: Architecture, log_file: Path) -> Sequence[Path]:
    """Deploy, run the scenario and its failure drill, and print what happens; returns what they saved.

    Args:
        architecture: The row of the catalogue.
        log_file: The log of the embedded AWS.

    Raises:
        ScenarioFailed: The architecture did not do what it is for.
        TaskError: It could not be deployed, or the embedded AWS ignored something that matters.
    """
    scenario = scenario_of(architecture.id)
    _title(f"{architecture.id}: {architecture.title}")
    with LocalAws(log_file=log_file) as aws:
        outputs = deploy(architecture.id, aws)
        dropped = aws.dropped_properties()
        check_dropped(dropped, scenario.ACCEPTED_NOT_EMULATED)
        print("\nDeployed with the CDK, IAM enforced:")
        for name, value in outputs.items():
            print(f"  {name:24} {value}")
        stack = DeployedStack.embedded(architecture.id, outputs, aws, out=ROOT / "out", tell=_tell)
        _title("Scenario")
        files = [*scenario.run(stack).files]
        if hasattr(scenario, "drill"):
            _title("Failure drill")
            files += scenario.drill(stack, Faults(aws.session)).files
    show(files)
    _tell_dropped(dropped, scenario)
    return files


def keep_picture(architecture: Architecture, files: Sequence[Path]) -> None:
    """Copy the first picture of a run to where the page shows it."""
    found = next((file for file in files if file.suffix in (".svg", ".png")), None)
    if found is None:
        print(f"{architecture.id}: the run makes no picture")
        return
    target = ROOT / "docs" / architecture.family / f"{architecture.id}-run{found.suffix}"
    shutil.copyfile(found, target)
    print(f"\nFor the page: {_short(target)}")


def check_dropped(dropped: Collection[Dropped], accepted: Mapping[str, str]) -> None:
    """Fail for a property that the embedded AWS ignored and that the scenario does not list.

    Raises:
        TaskError: A property was ignored that the scenario does not list.
    """
    unknown = [one for one in dropped if str(one) not in accepted]
    if unknown:
        listed = "\n".join(f"  {one} of {one.logical_id}" for one in unknown)
        raise TaskError(
            f"The embedded AWS accepted these properties and ignored them:\n{listed}\nEmulate them in a "
            "bridge of localaws/, or list them in the scenario's ACCEPTED_NOT_EMULATED with the reason why "
            "it proves its point all the same."
        )


def deploy(id: str, aws: LocalAws, folder: Path = _LOGS) -> dict[str, str]:
    """Deploy an architecture into an empty account, and return the outputs of its stack.

    Args:
        id: The architecture.
        aws: The embedded AWS.
        folder: For the CLI's logs and the cloud assembly.
    """
    cdk = Cdk({**os.environ, **aws.environment, **FOR_THIS_MACHINE}, folder=folder)
    with cdk.synthesizing(id) as synth:  # in the background meanwhile
        with step("bootstrap of the account"):
            aws.bootstrap(cli())
        with step("cdk synth"):
            synth.finish()
    with step("cdk deploy"):
        return cdk.deploy(id)


def show(files: Sequence[Path]) -> None:
    """Print where the results are: the first file by name, the others by folder and kind."""
    if not files:
        return
    first, *others = files
    kinds = Counter(file.parent / f"*{file.suffix}" for file in others)
    print(f"\nResults:\n  {_short(first)}")
    for pattern, count in kinds.items():
        print(f"  {_short(pattern)} ({count})")


def _short(path: Path) -> Path:
    """The path relative to the current folder, if it is in there."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _tell_dropped(dropped: Collection[Dropped], scenario: ModuleType) -> None:
    print()
    if not dropped:
        print("The embedded AWS ignored no property of the template.")
    for name in sorted({str(one) for one in dropped}):
        print(f"Accepted but not emulated: {name} ({scenario.ACCEPTED_NOT_EMULATED[name]})")


def _title(title: str) -> None:
    print(f"\n{title}\n{'-' * len(title)}", flush=True)


def _tell(line: str) -> None:
    print(f"  {line}", flush=True)


def _stop(_signum: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    console.start(main)
