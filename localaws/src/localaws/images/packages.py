"""`RUN pip install …`: wheels of this machine's Python, in the folder of the image that `--target` names.

Nothing of the image runs, and no code of a package: only wheels are installed, by uv or pip outside the
image. Without `--target` they go where the Python of AWS's base image has its packages.
"""

from __future__ import annotations

import argparse
import importlib.util
import posixpath
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from localaws.images.dockerfile import Instruction
from localaws.images.layers import Entry, Tree, entry_of

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
#: Where AWS's base image has the packages of its Python.
SITE_PACKAGES = f"var/lang/lib/{PYTHON}/site-packages"

_INSTALLERS = [["pip"], ["pip3"], ["uv", "pip"], ["python", "-m", "pip"], ["python3", "-m", "pip"]]
_ALLOWED = "RUN pip install [-r FILE] [PACKAGE…] [--target FOLDER] [--require-hashes] [--no-deps] [--upgrade]"
# What means something to a shell, outside quotes and within double ones, except variables.
_SHELL = re.compile(
    r"""\\.|'[^']*'|\$(?=[\w{])|"(?:\\.|\$(?=[\w{])|[^"\\`$])*"|(?P<special>[&|;<>`$()"])""", re.DOTALL
)
# Files that differ from run to run.
_RECORDS = frozenset((".lock", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"))


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--target", "-t")
    parser.add_argument("--requirement", "-r", action="append", default=[])
    parser.add_argument("--constraint", "-c", action="append", default=[])
    for name in ("--index-url", "--extra-index-url"):
        parser.add_argument(name)
    for name in ("--require-hashes", "--no-deps", "--pre"):
        parser.add_argument(name, action="store_true")
    # Without effect: an image has none of these before, and only wheels are installed in any case.
    for name in ("--no-cache-dir", "--no-cache", "--no-compile", "--disable-pip-version-check", "--system"):
        parser.add_argument(name, action="store_true")
    for names in (("--upgrade", "-U"), ("--quiet", "-q"), ("--prefer-binary",), ("--no-build",)):
        parser.add_argument(*names, action="store_true")
    for name in ("--only-binary", "--platform", "--python-platform", "--root-user-action"):
        parser.add_argument(name)
    parser.add_argument("packages", nargs="*")
    return parser


class Installation:
    """What a `RUN` installs.

    Args:
        instruction: The instruction.
        tree: The files of the stage so far.
        folder: The working directory.

    Raises:
        BuildError: It is no such `RUN`, or a file is missing.
    """

    def __init__(self, instruction: Instruction, tree: Mapping[str, Entry], folder: str) -> None:
        self._instruction = instruction
        words = instruction.words()
        start = next((one for one in _INSTALLERS if words[: len(one)] == one), None)
        if start is None or words[len(start) : len(start) + 1] != ["install"]:
            raise instruction.error(f"only packages can be installed here: {_ALLOWED}")
        if instruction.listed() is None and not _is_one_command(instruction.rest):
            raise instruction.error(f"no shell runs here, so write one command: {_ALLOWED}")
        try:
            self._options = _parser().parse_args(words[len(start) + 1 :])
        except ValueError as error:
            raise instruction.error(f"{error}; {_ALLOWED}") from None
        given = self._options
        if local := [one for one in given.packages if one.startswith((".", "/")) or "://" in one]:
            raise instruction.error(f"{local[0]} is no package of an index; COPY code into the image instead")
        if not (given.packages or given.requirement):
            raise instruction.error("it names no package and no -r FILE")
        self.target = posixpath.normpath(
            posixpath.join("/", folder, given.target).lstrip("/") if given.target else SITE_PACKAGES
        )
        self._files: dict[str, bytes] = {}
        for name in (*given.requirement, *given.constraint):
            path = posixpath.normpath(posixpath.join("/", folder, name)).lstrip("/")
            if path not in tree:
                raise instruction.error(f"there is no /{path} in the image; COPY it before")
            self._files[name] = tree[path].data

    def key(self) -> bytes:
        """What the result depends on."""
        parts = [PYTHON, sys.platform, self.target, shlex.join(self._instruction.words())]
        return "\0".join(parts).encode() + b"".join(self._files.values())

    def run(self) -> Tree:
        """Install the packages, and return their files.

        Raises:
            BuildError: The installer failed; the message has its output.
        """
        with tempfile.TemporaryDirectory(prefix="localaws-run-") as scratch:
            into, given = Path(scratch, "packages"), self._options
            command = [*_installer(), "--target", str(into), "--only-binary", ":all:"]
            for number, (name, content) in enumerate(self._files.items()):
                file = Path(scratch, f"{number}.txt")
                file.write_bytes(content)
                command += ["--requirement" if name in given.requirement else "--constraint", str(file)]
            for name in ("require_hashes", "no_deps", "pre"):
                command += [f"--{name.replace('_', '-')}"] * getattr(given, name)
            for name in ("index_url", "extra_index_url"):
                if value := getattr(given, name):
                    command += [f"--{name.replace('_', '-')}", value]
            ran = subprocess.run(
                [*command, *given.packages], cwd=scratch, capture_output=True, text=True, check=False
            )
            if ran.returncode:
                said = ran.stderr.strip() or ran.stdout
                raise self._instruction.error(f"no wheels of these can be installed for {PYTHON}:\n{said}")
            return {
                posixpath.join(self.target, file.relative_to(into).as_posix()): _portable(entry_of(file))
                for file in into.rglob("*")
                if file.name not in _RECORDS
                and not {"__pycache__", "bin"} & set(file.relative_to(into).parts)
            }


def _is_one_command(text: str) -> bool:
    return not any(found["special"] for found in _SHELL.finditer(text))


def _portable(entry: Entry) -> Entry:
    """The entry with permissions that do not depend on the umask of this machine."""
    executable = entry.mode & 0o100
    return replace(entry, mode=0o755 if executable else 0o644)


def _installer() -> list[str]:
    if importlib.util.find_spec("uv") is not None:
        found = [sys.executable, "-m", "uv"]
    elif uv := shutil.which("uv"):
        found = [uv]
    elif importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile"]
    else:
        raise OSError(f"RUN pip install needs uv, or pip in {sys.executable}: install one of them")
    return [*found, "pip", "install", "--quiet", "--no-compile-bytecode", "--python", sys.executable]
