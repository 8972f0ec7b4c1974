"""`run.py lock`: compile both requirements files from pyproject.toml, package-lock.json from package.json.

Versions that are already pinned do not change; to change one, change it in pyproject.toml or in
package.json, or give uv's own options, such as `--upgrade-package moto`.
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tasks import console

ROOT = Path(__file__).resolve().parent.parent

# For every platform and Python from 3.11 on, with the hashes of all files, and without the address of an
# index, so that the same file works behind a mirror.
PYTHON = (
    *("uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11"),
    *("--generate-hashes", "--no-emit-index-url", "--no-emit-find-links", "--quiet"),
    *("--custom-compile-command", "python3 run.py lock"),
)
DEV = ("--group", "dev", "--output-file", "requirements-dev.txt")
# What deploys has the versions that the checks have.
DEPLOY = ("--group", "deploy", "--constraint", "requirements-dev.txt", "--output-file", "requirements.txt")
NODE = ("npm", "install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund")


def main(arguments: Sequence[str]) -> int:
    """Write the files; the first exit code that is not 0."""
    for command in ([*PYTHON, *DEV, *arguments], [*PYTHON, *DEPLOY, *arguments], NODE):
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        if code:
            return code
    return 0


if __name__ == "__main__":
    console.start(main)
