"""`verify ID`: runs the scenario of an architecture against its stack in the user's own AWS account."""

from __future__ import annotations

import sys
import tempfile
from importlib import import_module
from pathlib import Path
from types import ModuleType

from botocore.exceptions import BotoCoreError, ClientError

from scenarios.framework import ScenarioFailed
from stacks.catalogue import find
from tasks import console
from tasks.account import find_stack
from tasks.cdk import ROOT
from tasks.commands import parse
from tasks.errors import TaskError


def main(arguments: list[str]) -> int:
    """Run the scenario, and print the results."""
    options = parse("verify", arguments)
    try:
        verify(options.id, options.stack or options.id, Path(options.out or ROOT / "out"))
    except (TaskError, LookupError) as error:
        print(f"run.py verify: {error}", file=sys.stderr)
        return 1
    except (ScenarioFailed, ClientError, BotoCoreError) as error:
        print(f"\nFAILED: {error}", file=sys.stderr)
        return 1
    return 0


def verify(id: str, stack_name: str, out: Path) -> None:
    """Run the scenario against a deployed stack, and print what happens.

    Raises:
        ScenarioFailed: The architecture did not do what it should.
        TaskError: The stack cannot be used.
    """
    scenario = scenario_of(id)
    check_writable(out)
    stack = find_stack(stack_name, tell=lambda line: print(f"  {line}", flush=True), out=out)
    print(f"Stack {stack.name} in {stack.session.region_name}:")
    outcome = scenario.run(stack)
    print(f"OK: {outcome.title}.")
    for file in outcome.files[:1]:
        print(f"Results: {file}")
    if hasattr(scenario, "drill"):
        print("Not run: the failure drill. It breaks things, and runs only on the embedded AWS.")


def check_writable(folder: Path) -> None:
    """Make a folder for the results, before anything is sent.

    Raises:
        TaskError: It cannot be made, or nothing can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise TaskError(
            f"The results cannot be written to the folder {folder} ({error.strerror}): give another by --out."
        ) from error


def scenario_of(id: str) -> ModuleType:
    """The scenario's module of an architecture.

    Raises:
        LookupError: There is no such architecture.
        TaskError: It has no scenario.
    """
    architecture = find(id)
    if not architecture.has_scenario:
        raise TaskError(
            f"{id} has no scenario, because it cannot be deployed on the embedded AWS: only its template is "
            f"proven. docs/{architecture.family}/{id}.md says why, and what to use instead."
        )
    return import_module(f"scenarios.{architecture.family}.{architecture.module}")


if __name__ == "__main__":
    console.start(main)
