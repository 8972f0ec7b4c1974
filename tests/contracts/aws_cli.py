"""The commands for the AWS CLI on the pages, and the AWS CLI that runs them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stacks.architecture import Architecture

ROOT = Path(__file__).parents[2]

# PyPI has version 1 only. Its payloads are never base64, so it has no option to say so.
_CLI = "awscli==1.46.3"
ONLY_VERSION_2 = ("--cli-binary-format", "raw-in-base64-out")
# In an environment that uv makes once and keeps in its cache.
RUN = (sys.executable, "-m", "uv", "tool", "run", "--quiet", "--from", _CLI)


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
            function if word == placeholder else word for word in self.words if word not in ONLY_VERSION_2
        ]


def lines_of(row: Architecture) -> list[Line]:
    """The commands on a row's page."""
    text = (ROOT / "docs" / row.family / f"{row.id}.md").read_text("utf-8")
    return [Line(tuple(shlex.split(found))) for found in re.findall(r"^aws (lambda invoke .*)$", text, re.M)]


def install() -> None:
    """Let uv make the environment, which needs the index of packages."""
    subprocess.run([*RUN, "aws", "--version"], check=True, capture_output=True)


def invoke(
    line: Line, function: str, endpoint_url: str, variables: Mapping[str, str], folder: Path
) -> tuple[dict[str, Any], Any]:
    """Run a command with the AWS CLI; return what it printed, and the payload that it wrote.

    Args:
        line: The command.
        function: The name or ARN of the function.
        endpoint_url: The embedded AWS.
        variables: The environment.
        folder: Where the payload is written.
    """
    command = [*RUN, "--offline", "aws", "--endpoint-url", endpoint_url, *line.replaced(function)]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), json.loads((folder / "out.json").read_text("utf-8"))
