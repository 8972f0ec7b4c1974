"""Folder with handler → (dependencies from its lock file, without Docker) → asset.

A handler's folder may hold a ``requirements.txt``: the lock file, every package pinned with its hashes (as
``uv pip compile --universal --generate-hashes requirements.in -o requirements.txt`` writes it). Its packages
are installed as wheels for the Python and the architecture of the function, so nothing is compiled and
neither Docker nor a machine like Lambda's is needed. They are cached: only the first time needs the network,
and a synthesis that skips bundling (tests) never does.

The handlers of this library are packages: each is deployed under its own name
(``sqs_consumer.handler.handler``), with a copy of the packages that it imports: those that it shares with
others, ``shared`` and ``notes``, and those of handlers whose work it does too, such as
``storage.metadata_sync``. A folder of your own is deployed as it is: its modules are at the root of the code
(``handler.handler``).

https://docs.aws.amazon.com/lambda/latest/dg/python-package.html
"""

import functools
import hashlib
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns.core.handler_folder import check_dependencies, check_handler, lists_packages
from cdk_lambda_patterns.core.unzipped_size import check_unzipped_size

# Files that are never deployed. A stray .pyc would change the asset's hash; the others are the installer's
# own records, which differ from run to run and between pip and uv.
EXCLUDE = ("**/__pycache__", "**/*.pyc", "requirements.in")
_INSTALLER_RECORDS = ("bin", ".lock", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json")

# Lambda's Python 3.12 and later run on Amazon Linux 2023 (glibc 2.34). Oldest first: pip takes several.
_MANYLINUX = ("manylinux2014", "manylinux_2_17", "manylinux_2_28")
_BUILD_FORMAT = 1  # raise it when the same lock file has to be built again

_IMPORT = re.compile(r"^\s*(?:from|import) (\w+)(?:\.(\w+))?", re.MULTILINE)

BUNDLING_VARIABLE = "CDK_LAMBDA_PATTERNS_BUNDLING"
CACHE_VARIABLE = "CDK_LAMBDA_PATTERNS_CACHE"


def pattern_source(family: str, id: str) -> Path:
    """Return the folder of a handler of this library, installed from a wheel or in a checkout.

    Args:
        family: The family of the architecture: ``"storage"``.
        id: The id of the architecture in snake_case: ``"thumbnailer"``.

    Raises:
        FileNotFoundError: The installation is incomplete.
    """
    places = _places()
    for place in places:
        if (place / family / id).is_dir():
            return place / family / id
    raise FileNotFoundError(
        f"no handler {family}/{id} in {places[0]} or {places[1]}: the installation of cdk-lambda-patterns "
        "is incomplete; install it again."
    )


@functools.cache
def _places() -> tuple[Path, Path]:
    """Return where the handlers of this library are: in an installed wheel, and in a checkout."""
    package = Path(__file__).resolve().parents[1]
    return package / "_lambda_src", package.parents[1] / "lambda_src"


def handler_code(
    folder: str | os.PathLike[str],
    *,
    handler: str,
    runtime: lambda_.Runtime,
    architecture: lambda_.Architecture,
    has_layers: bool,
) -> lambda_.Code:
    """Make the code of a function from a folder of Python source and its dependencies.

    Args:
        folder: The handler's folder. A ``requirements.txt`` in it must be a lock file with hashes.
        handler: ``module.function`` in that folder.
        runtime: The Python that the dependencies are installed for.
        architecture: The processor that they are installed for.
        has_layers: Whether the handler or its dependencies may be in a layer.

    Raises:
        NotADirectoryError: There is no such folder.
        ValueError: The handler is not in the folder, its dependencies are listed elsewhere than in the lock
            file, that has no hashes, or the runtime is not Python.
    """
    source = Path(folder).resolve()
    if not source.is_dir():
        raise NotADirectoryError(f"code={os.fspath(folder)!r}: not a folder; give the folder of the handler.")
    lock = source / "requirements.txt"
    package = source.name if source.parent.parent in _places() else ""
    shared = _shared_packages(source)
    locked = lists_packages(lock)
    if not package and runtime.name.startswith("python"):
        check_handler(source, handler, complete=not (locked or has_layers))
        if not locked and not has_layers:
            check_dependencies(source)
    if not locked and not shared and not package:
        return lambda_.Code.from_asset(str(source), exclude=list(EXCLUDE))
    if locked:
        check_hashes(lock)
    target = target_for(runtime, architecture)
    return lambda_.Code.from_asset(
        str(source),
        exclude=list(EXCLUDE),
        bundling=BundlingOptions(
            # Never pulled: the local bundling either succeeds or raises. The command is part of the
            # asset's hash, so that a change of Python, architecture or shared modules makes a new asset.
            image=no_image(),
            command=[str(_BUILD_FORMAT), target.python, target.machine, _digest(shared.values())],
            local=_FolderBundling(source, package, shared, target, "" if has_layers else handler),
        ),
    )


def check_hashes(lock: Path) -> None:
    """Check that a lock file pins its packages with hashes.

    Raises:
        ValueError: It does not.
    """
    if "--hash=" not in lock.read_text():
        raise ValueError(
            f"{lock}: the requirements have no hashes; write the file with "
            "'uv pip compile --universal --generate-hashes requirements.in -o requirements.txt'."
        )


def _shared_packages(source: Path) -> dict[str, Path]:
    """Return the packages of this library that a handler imports, also indirectly, by their path."""
    root = source.parent.parent
    if root not in _places():
        return {}
    packages = _packages(root)
    found: dict[str, Path] = {}
    waiting = [source]
    while waiting:
        for name in _imports(waiting.pop()):
            if name in packages and name not in found:
                found[name] = packages[name]
                waiting.append(packages[name])
    return dict(sorted(found.items()))


# The functions of an app share handlers and packages, whose modules are read once.
@functools.cache
def _packages(root: Path) -> dict[str, Path]:
    """Return the packages of this library by their path."""
    return {
        file.parent.relative_to(root).as_posix(): file.parent
        for pattern in ("*/__init__.py", "*/*/__init__.py")
        for file in root.glob(pattern)
    }


@functools.cache
def _modules(package: Path) -> Sequence[tuple[Path, bytes]]:
    return [(module, module.read_bytes()) for module in sorted(package.rglob("*.py"))]


@functools.cache
def _imports(package: Path) -> Sequence[str]:
    """Return what the modules of a package import, as paths of packages."""
    found = (_IMPORT.findall(content.decode()) for _, content in _modules(package))
    return [name for names in found for first, second in names for name in (first, f"{first}/{second}")]


def _digest(packages: Iterable[Path]) -> str:
    """Return a hash of the modules of packages."""
    digest = hashlib.sha256()
    for module, content in (one for package in packages for one in _modules(package)):
        digest.update(f"{module.parent.name}/{module.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


@functools.cache
def no_image() -> DockerImage:
    """Return an image for bundling options that never use Docker."""
    return DockerImage.from_registry("scratch")


@dataclass(frozen=True)
class Target:
    """What wheels are for: a Python (``3.14``), a machine (``aarch64``), whether that is this machine."""

    python: str
    machine: str
    is_host: bool = False


def target_for(runtime: lambda_.Runtime, architecture: lambda_.Architecture) -> Target:
    """Return what the wheels of a function are for: Lambda, or this machine if the environment says so.

    Raises:
        ValueError: The runtime is not Python, or the environment variable has another value.
    """
    chosen = os.environ.get(BUNDLING_VARIABLE, "")
    if chosen not in ("", "host"):
        raise ValueError(f"{BUNDLING_VARIABLE}={chosen!r}: give 'host', or leave it out to build for Lambda.")
    # The embedded AWS runs every handler on this machine's Python.
    return this_machine() if chosen else _target_on_lambda(runtime, architecture)


def this_machine() -> Target:
    """Return the target of wheels for this Python on this machine."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return Target(version, f"{sys.platform}-{platform.machine()}", is_host=True)


@functools.cache  # so that jsii is asked once for the names
def _target_on_lambda(runtime: lambda_.Runtime, architecture: lambda_.Architecture) -> Target:
    name = runtime.name
    if not name.startswith("python"):
        raise ValueError(f"runtime={name}: a handler with requirements.txt needs a Python runtime.")
    machine = "aarch64" if architecture.name == "arm64" else "x86_64"
    return Target(name.removeprefix("python"), machine)


@jsii.implements(ILocalBundling)
class _FolderBundling:
    """Fills the folder of an asset: dependencies from the cache or built, shared modules, the handler.

    Args:
        source: The handler's folder.
        package: The package that its modules belong to; empty if they are at the root.
        shared: The packages that the handler imports, by their path.
        target: What the dependencies are installed for.
        handler: The handler, which may be in a package; empty if it may also be in a layer.
    """

    def __init__(
        self, source: Path, package: str, shared: Mapping[str, Path], target: Target, handler: str
    ) -> None:
        self._source = source
        self._package = package
        self._shared = shared
        self._target = target
        self._handler = handler

    # jsii passes the options by name only to a signature that names one of them.
    def try_bundle(self, output_dir: str, *, image: DockerImage, **_: Any) -> bool:
        """Fill the folder. The CDK calls this and never falls back to Docker."""
        output = Path(output_dir)
        lock = self._source / "requirements.txt"
        if lists_packages(lock):
            shutil.copytree(installed(lock, self._target), output, dirs_exist_ok=True)
        ignore = shutil.ignore_patterns("__pycache__", "*.pyc", "requirements.in")
        for name, folder in self._shared.items():
            shutil.copytree(folder, output / name, ignore=ignore)
        shutil.copytree(self._source, output / self._package, dirs_exist_ok=True, ignore=ignore)
        if self._handler and not self._package:
            check_handler(output, self._handler, complete=True)
        check_unzipped_size(output)
        return True


def installed(lock: Path, target: Target) -> Path:
    """Return the folder with the installed wheels of a lock file; install them unless they are cached."""
    key = hashlib.sha256(f"{_BUILD_FORMAT}\0{target}\0".encode() + lock.read_bytes()).hexdigest()
    cached = cache_folder() / key
    if not cached.is_dir():
        cached.parent.mkdir(parents=True, exist_ok=True)
        # Built in another folder and renamed when complete, so that an interrupted build is never used.
        with tempfile.TemporaryDirectory(dir=cached.parent, prefix="building-") as scratch:
            building = Path(scratch) / "packages"
            _install(lock, target, building)
            _drop_what_is_not_code(building)
            try:
                building.rename(cached)
            except OSError:
                if not cached.is_dir():  # otherwise another process was faster, with the same result
                    raise
    return cached


def cache_folder() -> Path:
    """Return the folder with what was built before, by a hash of what it was built from."""
    if given := os.environ.get(CACHE_VARIABLE):
        return Path(given)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "cdk-lambda-patterns" / "handlers"


def _install(lock: Path, target: Target, into: Path) -> None:
    command = [*_installer(target), "--target", str(into), "--only-binary", ":all:"]
    command += ["--no-deps", "--require-hashes", "-r", str(lock)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(
            f"cannot install {lock} for Python {target.python} on {target.machine} as wheels:\n"
            f"{result.stderr.strip() or result.stdout.strip()}\n"
            "Check the network, and that each pinned package has a wheel for that Python and machine."
        )


def _installer(target: Target) -> list[str]:
    """Return the start of the command that installs wheels: uv if there is one, otherwise pip."""
    if importlib.util.find_spec("uv") is not None:
        command = [sys.executable, "-m", "uv", "pip", "install", "--quiet"]
    elif uv := shutil.which("uv"):
        command = [uv, "pip", "install", "--quiet"]
    elif importlib.util.find_spec("pip") is not None:
        return [sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", *_pip_platform(target)]
    else:
        raise RuntimeError(
            "neither uv nor pip is installed: one of them has to install the handler's wheels."
        )
    if not target.is_host:
        command += ["--python-platform", f"{target.machine}-{_MANYLINUX[-1]}"]
    return [*command, "--python-version", target.python, "--no-compile-bytecode"]


def _pip_platform(target: Target) -> Iterator[str]:
    if target.is_host:
        return
    # pip matches platform tags exactly, so every tag that the runtime accepts is given.
    for tag in _MANYLINUX:
        yield from ("--platform", f"{tag}_{target.machine}")
    tag = "cp" + target.python.replace(".", "")
    yield from ("--implementation", "cp", "--python-version", target.python)
    yield from ("--abi", tag, "--abi", "abi3", "--abi", "none")


def _drop_what_is_not_code(folder: Path) -> None:
    records = [*folder.iterdir(), *folder.glob("*.dist-info/*")]
    for path in [path for path in records if path.name in _INSTALLER_RECORDS]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in list(folder.rglob("__pycache__")):
        shutil.rmtree(path)
