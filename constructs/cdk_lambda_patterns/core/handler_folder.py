"""Folder of a handler → is the handler in it, and are its dependencies listed where they are installed from?

Lambda answers each invocation with ``Runtime.ImportModuleError`` or ``Runtime.HandlerNotFound`` if not. What
can be seen without importing the code is checked at synthesis.

https://docs.aws.amazon.com/lambda/latest/dg/python-handler.html
https://docs.aws.amazon.com/lambda/latest/dg/troubleshooting-execution.html
"""

import ast
import json
import re
import tomllib
from pathlib import Path
from typing import Any

from aws_cdk import Token

_UV_COMPILE = "uv pip compile --universal --generate-hashes requirements.in -o requirements.txt"
_UV_EXPORT = "uv export --no-dev --no-emit-project -o requirements.txt"
_POETRY_EXPORT = "poetry export -o requirements.txt"
_PIPENV = "pipenv requirements --hash > requirements.txt"

# Where tools list dependencies: the file, the place in it, and what writes a requirements.txt with hashes.
_LISTS = (
    ("uv.lock", ("package",), _UV_EXPORT),
    ("poetry.lock", ("package",), _POETRY_EXPORT),
    ("pdm.lock", ("package",), "pdm export -o requirements.txt"),
    ("pylock.toml", ("packages",), "uv pip compile --generate-hashes pylock.toml -o requirements.txt"),
    ("Pipfile.lock", ("default",), _PIPENV),
    ("Pipfile", ("packages",), _PIPENV),
    ("pyproject.toml", ("project", "dependencies"), _UV_EXPORT),
    ("pyproject.toml", ("tool", "poetry", "dependencies"), _POETRY_EXPORT),
)


def check_handler(folder: Path, handler: str, *, complete: bool) -> None:
    """Check that a folder of Python has the module of a handler, and the module the function.

    Args:
        folder: The folder.
        handler: ``module.function``. A token passes.
        complete: Whether all code is in the folder: neither layers nor packages that are installed later may
            contain the module.

    Raises:
        ValueError: The handler is not in the folder.
    """
    if Token.is_unresolved(handler):
        return
    module, _, function = handler.rpartition(".")
    if not module or not function:
        raise ValueError(f"handler={handler!r}: give module.function, such as 'handler.handler'.")
    path = folder.joinpath(*re.split(r"[./]", module))
    present = {one.name for one in path.parent.iterdir()} if path.parent.is_dir() else set()
    if (path / "__init__.py").is_file():
        source = path / "__init__.py"
    elif f"{path.name}.py" in present:  # by its exact name, also where the file system ignores case
        source = path.parent / f"{path.name}.py"
    else:
        compiled = [name for name in present if re.match(rf"{re.escape(path.name)}\..*(so|pyc)$", name)]
        if complete and not compiled:
            modules = sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*.py"))[:5]
            raise ValueError(
                f"handler={handler!r}: {folder} has no {path.relative_to(folder)}.py, only "
                f"{', '.join(modules) or 'no Python at all'}; give module.function of a file that is there."
            )
        return
    names = _names_in(source.read_bytes())
    if names is not None and function not in names:
        raise ValueError(
            f"handler={handler!r}: {source} defines no {function!r}, only "
            f"{', '.join(sorted(names)) or 'no names'}; give a function that it defines."
        )


def _names_in(source: bytes) -> set[str] | None:
    """Return the names that a module defines or imports; ``None`` if only running it can tell."""
    if re.search(rb"\bglobals\(|\bsys\.modules\b|\b__getattr__\b", source):
        return None
    try:
        todo: list[ast.AST] = list(ast.parse(source).body)
    except SyntaxError:  # of a newer Python than this one, maybe
        return None
    names = set()
    while todo:
        match todo.pop():
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.add(name)
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                return None
            case ast.Import(names=imported) | ast.ImportFrom(names=imported):
                names.update(one.asname or one.name.partition(".")[0] for one in imported)
            case ast.Name(id=name, ctx=ast.Store()):
                names.add(name)
            case node:
                todo.extend(ast.iter_child_nodes(node))
    return names


def check_dependencies(folder: Path) -> None:
    """Check that a folder without ``requirements.txt`` lists no dependencies, because none is installed.

    Raises:
        ValueError: It does.
    """
    if any(folder.glob("*.dist-info")):  # they are installed already
        return
    if lists_packages(folder / "requirements.in"):
        raise _not_installed(folder / "requirements.in", _UV_COMPILE)
    for name, place, command in _LISTS:
        listed: Any = _read(folder / name)
        for key in place:
            listed = listed.get(key) or {}
        # Poetry lists Python itself, and uv's lock file the project.
        if len(listed) > (name == "uv.lock" or "python" in listed):
            raise _not_installed(folder / name, command)


def lists_packages(path: Path) -> bool:
    """Whether there is a file with requirements, and more in it than comments."""
    return path.is_file() and any(
        line.strip() and not line.lstrip().startswith("#") for line in path.read_text("utf-8").splitlines()
    )


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    text = path.read_text("utf-8")
    try:
        return dict(json.loads(text) if path.name == "Pipfile.lock" else tomllib.loads(text))
    except ValueError:  # for its own tool to complain about
        return {}


def _not_installed(path: Path, command: str) -> ValueError:
    return ValueError(
        f"{path}: only dependencies in a requirements.txt with hashes are installed; write that file with "
        f"'{command}'."
    )
