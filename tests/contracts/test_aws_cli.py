"""The line for the AWS CLI on each row's page invokes the row's function."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from localaws import LocalAws
from scenarios.framework import DeployedStack
from stacks.architecture import Architecture
from stacks.catalogue import ARCHITECTURES
from tests.templates import Assembly

ROOT = Path(__file__).parents[2]

# PyPI has version 1 only. Its payloads are never base64, so it has no option to say so.
_CLI = "awscli==1.46.3"
_ONLY_VERSION_2 = ("--cli-binary-format", "raw-in-base64-out")

every_row = pytest.mark.parametrize("row", ARCHITECTURES, ids=lambda row: row.id)


@dataclass(frozen=True)
class Line:
    """An `aws lambda invoke` command on a page.

    Args:
        words: The command, without `aws`.
    """

    words: tuple[str, ...]

    def option(self, name: str) -> str:
        """The value of an option."""
        return self.words[self.words.index(name) + 1]

    def replaced(self, function: str) -> list[str]:
        """The command for version 1 of the CLI, with the function's name instead of that of the output."""
        placeholder = self.option("--function-name")
        return [
            function if word == placeholder else word for word in self.words if word not in _ONLY_VERSION_2
        ]


def lines_of(row: Architecture) -> list[Line]:
    """The commands on a row's page."""
    text = (ROOT / "docs" / row.family / f"{row.id}.md").read_text("utf-8")
    return [Line(tuple(shlex.split(found))) for found in re.findall(r"^aws (lambda invoke .*)$", text, re.M)]


@every_row
def test_the_page_has_a_command_that_invokes_the_function(catalogue: Assembly, row: Architecture) -> None:
    lines = lines_of(row)
    assert lines
    for line in lines:
        assert line.words[2:4] == _ONLY_VERSION_2
        assert line.option("--function-name") in catalogue.stacks[row.id].template["Outputs"]
        json.loads(line.option("--payload"))
        assert line.words[-1] == "out.json"


@pytest.fixture(scope="module")
def cli() -> Sequence[str]:
    """The AWS CLI of PyPI, in an environment that uv makes once and keeps in its cache."""
    run = (sys.executable, "-m", "uv", "tool", "run", "--quiet", "--from", _CLI)
    subprocess.run([*run, "aws", "--version"], check=True, capture_output=True)
    return (*run, "--offline", "aws")


# It leaves behind what the functions store, so it comes after the tests that look for leftovers.
@pytest.mark.breaks
@pytest.mark.full
@pytest.mark.local
@every_row
def test_the_aws_cli_invokes_the_function(
    row: Architecture, stack: DeployedStack, local_aws: LocalAws, cli: Sequence[str], tmp_path: Path
) -> None:
    for line in lines_of(row):
        function = stack.output(line.option("--function-name"))
        command = [*cli, "--endpoint-url", local_aws.endpoint_url, *line.replaced(function)]
        environment = {**os.environ, **local_aws.environment}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        payload = json.loads((tmp_path / "out.json").read_text())
        assert (answer["StatusCode"], "FunctionError" in answer) == (200, False), payload
