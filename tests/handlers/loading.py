"""Loads the folder of a handler as Lambda does: its modules import each other by their bare names.

Many handlers have a module ``handler`` or ``settings``. So the folder is on the path, and its modules are
known to the interpreter, only while they load; what is handed out are the modules themselves. Two folders,
or one folder with two environments, never meet. Each gets shared modules of its own, too, as a function does.
"""

import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from unittest import mock

SOURCE = Path(__file__).resolve().parents[2] / "lambda_src"


class LoadedHandler:
    """The modules of a handler's folder, as attributes; ``shared`` has those that it shares with others."""

    def __init__(self, modules: Mapping[str, ModuleType]) -> None:
        self._modules = modules

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Let functions of the handler import its modules while they run."""
        with mock.patch.dict(sys.modules, self._modules):
            yield

    def __getattr__(self, name: str) -> ModuleType:
        try:
            return self._modules[name]
        except KeyError:
            raise AttributeError(
                f"the handler has no module {name}; it has {sorted(self._modules)}"
            ) from None


def load_handler(folder: Path, environment: Mapping[str, str]) -> LoadedHandler:
    """Load every module of a folder, with these environment variables while they load."""
    names = sorted(path.stem for path in folder.glob("*.py"))
    if not names:
        raise FileNotFoundError(f"{folder}: no modules there")
    with _alone(folder, names), mock.patch.dict(os.environ, environment):
        for name in names:
            importlib.import_module(name)
        return LoadedHandler({name: sys.modules[name] for name in [*names, *_shared_modules()]})


@contextmanager
def _alone(folder: Path, names: list[str]) -> Iterator[None]:
    """Put a folder first on the path, and take it and its modules away again."""
    others = {name: sys.modules.pop(name) for name in [*names, *_shared_modules()] if name in sys.modules}
    writes_bytecode, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # the folder is an asset
    path = sys.path.copy()
    sys.path[:0] = [str(folder), str(SOURCE)]
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = path
        sys.dont_write_bytecode = writes_bytecode
        for name in [*names, *_shared_modules()]:
            sys.modules.pop(name, None)
        sys.modules.update(others)


def _shared_modules() -> list[str]:
    """The names of the shared modules that are loaded."""
    return [name for name in sys.modules if name.partition(".")[0] == "shared"]
