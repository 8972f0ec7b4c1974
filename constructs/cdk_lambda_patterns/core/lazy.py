"""Names of a package → the modules that define them, each imported when it is first used.

A service module of the CDK takes 10 to 150 ms to import, so importing one architecture of a family must not
import the others. The stub of the package (``__init__.pyi``) is the only list of its names: type checkers
and editors read it, and so does this module.

https://peps.python.org/pep-0562/
"""

import ast
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package with a stub.

    Args:
        package: The package's ``__name__``.
        file: The package's ``__file__``.
    """
    stub = ast.parse(Path(file).with_name("__init__.pyi").read_text("utf-8"))
    modules = {
        alias.name: str(statement.module)
        for statement in stub.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }

    def load(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(modules[name]), name)
        setattr(sys.modules[package], name, value)  # Python does not ask again
        return value

    return load, lambda: sorted({*vars(sys.modules[package]), *modules}), sorted(modules)
