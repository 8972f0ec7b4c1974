"""`run.py compat`: try the newest emulator, and the oldest and newest aws-cdk-lib, and say what they break.

Each pair has a fresh environment in `.cache/compat`: what requirements-dev.txt pins, with these replaced. The
checkout and its own environment stay as they are.

    fresh environment -> do the bridges fit? which are still needed? -> five apps of others -> every row
"""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasks import console
from tasks.commands import parse
from tasks.errors import TaskError
from tasks.progress import step

ROOT = Path(__file__).resolve().parent.parent
_LOGS = ROOT / ".cache" / "logs" / "compat"
_MOST_LINES = 40
_CDK, _EMULATOR = "aws-cdk-lib", "ministack"
_PYTEST = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short", "-rfE")
_VERSIONS = (
    f"import importlib.metadata as m; print(*(f'{{n}} {{m.version(n)}}' for n in {(_EMULATOR, _CDK)}))"
)
_START = """
import sys
from localaws import LocalAws, LocalAwsError
try:
    with LocalAws():
        pass
except LocalAwsError as error:  # it has the report of what the bridges miss
    sys.exit(str(error))
"""
_SYNTHESIS = """
import tempfile
from aws_cdk import App
from stacks.catalogue import ARCHITECTURES
from tasks.synthesis import app_context
for row in ARCHITECTURES:
    try:
        with tempfile.TemporaryDirectory() as folder:
            app = App(context=app_context(), outdir=folder, analytics_reporting=False)
            row.make_stack(app)
            app.synth()
    except Exception as error:
        print(f"FAILED {row.id} - {error}".splitlines()[0])
"""


@dataclass(frozen=True)
class Check:
    """What is tried in an environment.

    Args:
        title: What it is about.
        arguments: Those of Python. What fails is a line that begins with FAILED or ERROR.
        meaning: What a failure means.
    """

    title: str
    arguments: Sequence[str]
    meaning: str = "broken"


OF_THE_EMULATOR = (
    Check("bridges fit", ("-c", _START)),
    Check(
        "bridges are needed",
        (*_PYTEST, "localaws/tests", "-m", "stock"),
        "perhaps no longer needed",
    ),
)
OF_BOTH = (
    Check("five apps of others", (*_PYTEST, "localaws/tests/apps/test_five.py")),
    Check("every row is synthesised", ("-c", _SYNTHESIS)),
)


def main(arguments: Sequence[str]) -> int:
    """Try both pairs; 1 if something is broken."""
    parse("compat", arguments)
    _LOGS.mkdir(parents=True, exist_ok=True)
    broken = False
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for name, library, checks in (
        ("newest", _CDK, (*OF_THE_EMULATOR, *OF_BOTH)),
        ("oldest", f"{_CDK}=={oldest(project['dependencies'])}", OF_BOTH),
    ):
        with step(f"environment with the {name} {_CDK}"):
            python = _install(ROOT / ".cache" / "compat" / name, library)
        print(f"\n{_run(python, ('-c', _VERSIONS), _LOGS / f'{name}.log')[1].strip()}")
        for check in checks:
            log = _LOGS / f"{name} {check.title}.log".replace(" ", "-")
            with step(check.title):
                code, output = _run(python, check.arguments, log)
            found = failures(code, output)
            broken = broken or (bool(found) and check.meaning == "broken")
            print("\n".join([f"  {check.title}: {check.meaning if found else 'yes'}", *found]), flush=True)
    return int(broken)


def oldest(dependencies: Sequence[str]) -> str:
    """The oldest aws-cdk-lib that the constructs support.

    Raises:
        TaskError: The dependencies do not say.
    """
    for one in dependencies:
        if found := re.match(rf"{_CDK}\s*>=\s*([\d.]+)", one):
            return found[1]
    raise TaskError(f"pyproject.toml: no dependency {_CDK}>=VERSION")


def failures(code: int, output: str) -> list[str]:
    """What failed, a line each; the end of the output if it does not say."""
    lines = output.splitlines()
    found = [line.partition(" ")[2] for line in lines if line.startswith(("FAILED ", "ERROR "))]
    if not found and code:
        found = lines[-_MOST_LINES:]
    return [f"    {line}" for line in found]


def _install(folder: Path, library: str) -> str:
    """Make the environment, and return its Python."""
    python = str(folder / "bin" / "python")
    install = ("uv", "pip", "install", "--quiet", "--python", python)
    for command in (
        ("uv", "venv", "--quiet", "--clear", str(folder)),
        (*install, "-r", "requirements-dev.txt"),
        # The emulator pins botocore, and boto3 follows.
        (*install, "--upgrade", _EMULATOR, "boto3", "botocore", library),
        (*install, "--no-deps", "--no-build-isolation", "-e", ".", "-e", "localaws"),
    ):
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise TaskError(f"`{' '.join(command)}` failed:\n{ran.stderr.rstrip()}")
    return python


def _run(python: str, arguments: Sequence[str], log: Path) -> tuple[int, str]:
    """Run Python in the environment; its exit code and output, which are in the log, too."""
    programs = Path(python).parent
    variables = {
        **os.environ,
        "VIRTUAL_ENV": str(programs.parent),
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
        "CDK_VALIDATION": "false",
    }
    ran = subprocess.run(
        [python, *arguments],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    log.write_text(ran.stdout, "utf-8")
    return ran.returncode, ran.stdout


if __name__ == "__main__":
    console.start(main)
