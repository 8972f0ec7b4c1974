"""Keeps the compiled modules of functions, whose folders they can only read.

An environment says which modules it had to compile. The server compiles them for the next one with the same
code, so that only the first compiles them and no function can change what another one runs.
"""

from __future__ import annotations

import contextlib
import importlib.util
import py_compile
from collections.abc import Iterable
from pathlib import Path

_wanted: dict[Path, set[Path]] = {}


def want(folder: Path, seen: Path, modules: Iterable[str]) -> None:
    """Remember what an environment has compiled.

    Args:
        folder: The folder with the code.
        seen: Where the environment sees it.
        modules: The files for the compiled modules, as the environment sees them.
    """
    for module in modules:
        with contextlib.suppress(ValueError):  # it is elsewhere, or the function made it up
            path = Path(importlib.util.source_from_cache(module)).relative_to(seen)
            _wanted.setdefault(folder, set()).add(folder / path)


def compile_wanted(folder: Path) -> None:
    """Compile what earlier environments with this code had to compile."""
    inside = folder.resolve()
    for source in _wanted.pop(folder, ()):
        compiled = Path(importlib.util.cache_from_source(str(source)))
        # A link in the archive may lead out of the folder.
        if all(path.resolve().is_relative_to(inside) for path in (source, compiled)):
            with contextlib.suppress(OSError, py_compile.PyCompileError):
                py_compile.compile(str(source), str(compiled), doraise=True)
