"""C++ → ``bootstrap`` for Amazon Linux: compiled by Zig, without Docker, with the same bytes everywhere.

The compiler is Clang with the headers of Linux for each processor, in the package ``ziglang``. It is
downloaded (100 MB) when something has to be compiled for the first time, and kept, like what it made, in the
cache of the handlers' dependencies.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
https://pypi.org/project/ziglang/
"""

import hashlib
import os
import platform
import re
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jsii
from aws_cdk import BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_

from cdk_lambda_patterns.core.handler_code import (
    BUNDLING_VARIABLE,
    CACHE_VARIABLE,
    cache_folder,
    installed,
    no_image,
    this_machine,
)

_BUILD_FORMAT = 2  # raise it when the same sources have to be compiled again
_LOCK = Path(__file__).with_name("ziglang.txt")
_FLAGS = ("-std=c++23", "-O2")
# The oldest that Lambda's Amazon Linux has, that of provided.al2; programs run with newer ones, too.
_GLIBC = "gnu.2.26"
_HEADERS_ONLY = "-nostdlib++"


def bootstrap_code(source: Path, architecture: lambda_.Architecture) -> lambda_.Code:
    """Make the code of a function from a folder of C++.

    Args:
        source: The folder. Each ``.cpp`` in it is compiled, with the flags in ``compile_flags.txt``.
        architecture: The processor.
    """
    machine = "aarch64" if architecture.name == "arm64" else "x86_64"
    if os.environ.get(BUNDLING_VARIABLE):  # the embedded AWS runs functions on this machine's processor
        machine = platform.machine().lower().replace("arm64", "aarch64").replace("amd64", "x86_64")
    return lambda_.Code.from_asset(
        str(source),
        bundling=BundlingOptions(
            image=no_image(),
            # Part of the asset's hash: the compiler, and what it compiles for.
            command=[str(_BUILD_FORMAT), machine, hashlib.sha256(_LOCK.read_bytes()).hexdigest()],
            local=_Compilation(source, machine),
        ),
    )


@jsii.implements(ILocalBundling)
class _Compilation:
    """Fills the folder of an asset with the bootstrap.

    Args:
        source: The folder of C++.
        machine: The processor.
    """

    def __init__(self, source: Path, machine: str) -> None:
        self._source = source
        self._machine = machine

    # jsii passes the options by name only to a signature that names one of them.
    def try_bundle(self, output_dir: str, *, image: DockerImage, **_: Any) -> bool:
        """Fill the folder. The CDK calls this and never falls back to Docker."""
        bootstrap = Path(output_dir, "bootstrap")
        bootstrap.write_bytes(compiled(self._source, self._machine).read_bytes())
        bootstrap.chmod(0o755)  # or Lambda cannot start it
        return True


def compiled(source: Path, machine: str) -> Path:
    """Return the compiled program; compile it unless it is in the cache.

    Args:
        source: The folder of C++.
        machine: ``"aarch64"`` or ``"x86_64"``.

    Raises:
        RuntimeError: The compiler cannot be installed, or refuses the source.
    """
    digest = hashlib.sha256(f"{_BUILD_FORMAT}\0{machine}\0".encode() + _LOCK.read_bytes())
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(source).as_posix()}\0{len(content)}\0".encode() + content)
    program = cache_folder() / f"bootstrap-{digest.hexdigest()}"
    if not program.is_file():
        compiler = _compiler()
        # Renamed when complete, so that an interrupted compilation is never used.
        with tempfile.TemporaryDirectory(dir=program.parent, prefix="building-") as scratch:
            _compile(compiler, source, f"{machine}-linux-{_GLIBC}", Path(scratch)).rename(program)
    return program


def _compiler() -> Path:
    try:
        return installed(_LOCK, this_machine()) / "ziglang" / "zig"
    except RuntimeError as reason:
        raise RuntimeError(
            f"{reason}\nThe package ziglang compiles C++. It is downloaded once (100 MB), into "
            f"{cache_folder()}. Without a network, copy that folder from a machine that has it, and name "
            f"it in {CACHE_VARIABLE}; or give a folder with a compiled bootstrap."
        ) from reason


def _compile(compiler: Path, source: Path, target: str, scratch: Path) -> Path:
    """Compile each file, link the objects, and return the program."""
    own = source / "compile_flags.txt"
    flags = own.read_text("utf-8").split() if own.is_file() else list(_FLAGS)
    headers_only = _HEADERS_ONLY in flags
    flags = [flag for flag in flags if flag != _HEADERS_ONLY]  # Zig's would leave out the headers as well
    # No path of this machine in the program.
    flags += [f"-ffile-prefix-map={folder}=." for folder in (source, compiler.parent)]
    objects = []
    for path in sorted(source.glob("*.cpp")):
        objects.append(str(scratch / f"{path.stem}.o"))
        read = scratch / f"{path.stem}.d"
        flags_of_file = ["-target", target, *flags, "-MD", "-MF", str(read)]
        _run(compiler, "c++", "-c", *flags_of_file, str(path), "-o", objects[-1], scratch=scratch)
        _check_headers(read, path, (source, compiler.parent, cache_folder(), scratch))
    program = scratch / "bootstrap"
    linker = "cc" if headers_only else "c++"
    _run(compiler, linker, "-target", target, "-s", *objects, "-o", str(program), scratch=scratch)
    return program


def _check_headers(read: Path, file: Path, folders: Iterable[Path]) -> None:
    """Check that a file includes nothing outside its folder, of which a change would go unnoticed."""
    known = tuple(folder.resolve() for folder in folders)
    for name in re.findall(r"(?:[^\s\\]|\\.)+", read.read_text("utf-8").partition(":")[2]):
        header = Path(name.replace("\\ ", " ")).resolve()
        if not any(header.is_relative_to(folder) for folder in known):
            raise RuntimeError(
                f"{file} includes {header}, which is outside the folder, so that a change of it would not be "
                "deployed; move it into the folder."
            )


def _run(compiler: Path, *arguments: str, scratch: Path) -> None:
    # The next compilation reuses what Zig compiles of its own libraries.
    caches = {
        "ZIG_GLOBAL_CACHE_DIR": str(cache_folder() / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(scratch / "zig"),
    }
    command = [str(compiler), *arguments]
    result = subprocess.run(
        command, env={**os.environ, **caches}, capture_output=True, text=True, check=False
    )
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{result.stderr.strip()}")
