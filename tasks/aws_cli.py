"""The AWS CLI with the embedded AWS: which one is there, and why it never calls the real AWS.

Version 1 ignores `AWS_ENDPOINT_URL` for SQS, RDS, DocumentDB and Neptune; before 1.29 and 2.13 the CLI
ignores it for every service. `--endpoint-url` has no such exception, so `run.py local` puts an `aws` first on
the PATH that always gives it.

https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

_INSTALL = "https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html"
_HOW_TO_GET = (
    "There is no AWS CLI on the PATH. `uv tool install awscli` installs the one of PyPI into ~/.local/bin; "
    f"{_INSTALL} has the others. Put its folder on the PATH, then start `run.py local` again."
)

_WRAPPER = f"""\
#!/bin/sh
# The AWS CLI with the endpoint of the embedded AWS, which old versions do not read from the environment.
own=$(dirname "$0")
passed=
IFS=:
for folder in $PATH; do  # what comes after this folder: before it may be one like it
  if [ "$folder" = "$own" ]; then
    passed=yes
  elif [ "$passed" ] && [ -x "$folder/aws" ]; then
    unset IFS
    exec "$folder/aws" --endpoint-url "$AWS_ENDPOINT_URL" "$@"
  fi
done
echo '{_HOW_TO_GET}' >&2
exit 127
"""


def write_wrapper(folder: Path) -> Path:
    """Make a folder with an `aws` that gives `--endpoint-url` to the next `aws` on the PATH."""
    folder.mkdir(exist_ok=True)
    program = folder / "aws"
    program.write_text(_WRAPPER, "utf-8")
    program.chmod(0o755)
    return folder


def describe(program: str | None) -> str:
    """Say how the AWS CLI at this path, or none, gets on with the embedded AWS; empty if all is well."""
    if program is None:
        return _HOW_TO_GET
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"`aws` on the PATH does not run ({error}): see {_INSTALL}"
    found = re.match(r"aws-cli/((\d+)\.(\d+)\S*)", shown.stdout or shown.stderr)
    version, major, minor = (found[1], int(found[2]), int(found[3])) if found else ("?", 0, 0)
    if (major, minor) >= (2, 13):
        return ""
    where = "SQS, RDS, DocumentDB and Neptune" if (1, 29) <= (major, minor) < (2, 0) else "every service"
    return (
        f"The AWS CLI here is {version}, which ignores AWS_ENDPOINT_URL for {where} and would call the "
        "real AWS. "
        "The `aws` of this environment gives it --endpoint-url. Where you start another one, do it yourself: "
        'aws --endpoint-url "$AWS_ENDPOINT_URL" ...'
    )
