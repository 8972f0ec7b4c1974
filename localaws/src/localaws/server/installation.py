"""The Python environment of the server, which is not that of the tests unless they share one.

The emulator pins botocore exactly, and the server needs some thirty more distributions. The tests of a CDK
app have a boto3 of their own, often a newer one. So the distribution requires only boto3, and the server
runs in a virtual environment in the user's cache, made by `localaws install`. All projects with the same
Python and the same release share it, and once it is there, nothing asks the network. With the extra
`server`, the server is in the environment of the tests, and that is used: for who prefers one environment
over the newest boto3.

It is not made at first use: a download of a minute in the middle of a test is a surprise, and on a machine
without network an error of pip instead of a sentence that says what to do.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from localaws.patching import EMULATOR

_DISTRIBUTION = "pytest-localaws"
_EXTRA = 'extra == "server"'
_COMPLETE = "complete"
_PACKAGE = Path(__file__).parents[1]


class InstallationError(RuntimeError):
    """The server is not installed, or could not be; the message says what to do."""


def cache() -> Path:
    """The folder for what is installed: `$XDG_CACHE_HOME/localaws`, by default `~/.cache/localaws`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "localaws")


def python() -> tuple[str, str]:
    """Return the interpreter of the server, and the folder in which it finds this package and no other.

    Raises:
        InstallationError: The server is not installed.
    """
    if importlib.util.find_spec(EMULATOR):
        return sys.executable, str(_PACKAGE.parent)
    folder = environment()
    if not (folder / _COMPLETE).exists():
        raise InstallationError(
            "The server of the embedded AWS is not installed. `localaws install` makes an environment for it "
            f"in {cache()}, once (it asks PyPI for about 100 MB); or `pip install '{_DISTRIBUTION}[server]'` "
            "installs it into this environment, with the botocore that it needs."
        )
    return str(folder / "bin" / "python"), str(_linked(folder))


def environment() -> Path:
    """The folder of the virtual environment for this Python and these requirements."""
    wanted = "\n".join([sys.version.partition(" ")[0], *requirements()])
    version = ".".join(map(str, sys.version_info[:2]))
    return cache() / f"server-{version}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"


def requirements() -> list[str]:
    """What the server needs, from the metadata of the distribution.

    Raises:
        InstallationError: The distribution is not installed.
    """
    try:
        found = importlib.metadata.requires(_DISTRIBUTION) or []
    except importlib.metadata.PackageNotFoundError:
        raise InstallationError(f"{_DISTRIBUTION} is not installed: pip install {_DISTRIBUTION}") from None
    normal = [one.replace("'", '"') for one in found]
    return sorted(_without_extra(one) for one in normal if _EXTRA in one)


def _without_extra(requirement: str) -> str:
    name, _, marker = requirement.partition(";")
    rest = marker.replace(_EXTRA, "").strip().removesuffix("and").strip()
    return f"{name.strip()}; {rest}" if rest else name.strip()


def install() -> Path:
    """Make the environment of the server, unless it is there, and return its folder.

    Raises:
        InstallationError: It could not be made; the message has the output of the installer.
    """
    folder = environment()
    with _one_at_a_time():
        if (folder / _COMPLETE).exists():
            return folder
        shutil.rmtree(folder, ignore_errors=True)
        program = str(folder / "bin" / "python")
        if uv := shutil.which("uv"):
            _run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)])
            _run([uv, "pip", "install", "--quiet", "--python", program, *requirements()])
        else:
            _run([sys.executable, "-m", "venv", str(folder)])
            _run([program, "-m", "pip", "install", "--quiet", "--no-input", *requirements()])
        (folder / _COMPLETE).touch()
    return folder


def _linked(folder: Path) -> Path:
    """A folder with this package only: the folder of the package itself has what the tests use, too."""
    made = folder / f"package-{hashlib.sha256(str(_PACKAGE).encode()).hexdigest()[:12]}"
    with writing():
        made.mkdir(exist_ok=True)
        with contextlib.suppress(FileExistsError):
            (made / _PACKAGE.name).symlink_to(_PACKAGE)
    return made


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Say what to do if the cache cannot be written while the body runs."""
    try:
        yield
    except OSError as error:
        raise InstallationError(
            f"The folder {cache()} cannot be written ({error.strerror}): name another one in XDG_CACHE_HOME"
        ) from None


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    with writing():
        cache().mkdir(parents=True, exist_ok=True)
        opened = (cache() / "lock").open("w")
    with opened as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _run(command: Sequence[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    ran = subprocess.run(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if ran.returncode:
        shown = " ".join(command[:4])
        raise InstallationError(
            f"`{shown} ...` failed with exit code {ran.returncode}:\n{ran.stdout.rstrip()}"
        )
