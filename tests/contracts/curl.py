"""The blocks of commands with curl on the pages, and the shell that runs them as they are."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from localaws import LocalAws
from stacks.architecture import Architecture
from tests.contracts.aws_cli import ROOT, RUN

# `curl` here also signs, and fails with the body for statuses of 400 and more.
_NEEDED = (7, 84)


def blocks_of(row: Architecture) -> list[str]:
    """The blocks of a row's page in which curl is called."""
    text = (ROOT / "docs" / row.family / f"{row.id}.md").read_text("utf-8")
    blocks: list[str] = re.findall(r"^```\w*\n(.*?)^```$", text, re.M | re.S)
    return [block for block in blocks if re.search(r"^curl ", block, re.M)]


def variable(output: str) -> str:
    """The name of the variable that an output is in: HTTP_URL for HttpUrl."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", output).upper()


def with_outputs(block: str, outputs: Mapping[str, str]) -> str:
    """The commands with the values of outputs in place of their names."""
    return re.sub(r"(?<= )[A-Z]\w+(?=\s|$)", lambda match: outputs.get(match[0], match[0]), block)


def is_new_enough() -> bool:
    """Whether there is a curl that can sign with the token of a role."""
    try:
        shown = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return False
    return tuple(map(int, shown.split()[1].split(".")[:2])) >= _NEEDED


def run(block: str, outputs: Mapping[str, str], aws: LocalAws, folder: Path) -> str:
    """Run a block with a shell; return what it printed.

    The embedded AWS serves all names at one address, and only over TLS.

    Args:
        block: The commands.
        outputs: The outputs of the stack.
        aws: The embedded AWS.
        folder: For the settings of curl, and a script that is the AWS CLI.
    """
    address, ca_file = urlsplit(aws.endpoint_url), aws.environment["AWS_CA_BUNDLE"]
    settings = {"connect-to": f"::{address.hostname}:{address.port}", "cacert": ca_file}
    lines = [f'{name} = "{value}"' for name, value in settings.items()]
    (folder / ".curlrc").write_text("\n".join([*lines, "silent", "show-error", "fail-with-body"]))
    (folder / "aws").write_text(f'#!/bin/sh\nexec {" ".join(RUN)} --offline aws "$@"\n')
    (folder / "aws").chmod(0o755)
    variables = {
        **aws.environment,
        **{variable(name): re.sub("^http:", "https:", value) for name, value in outputs.items()},
        "CURL_HOME": str(folder),
        "PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(Path.home()),  # the cache of uv
    }
    command = ["/bin/sh", "-e", "-u", "-c", with_outputs(block, outputs)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout
