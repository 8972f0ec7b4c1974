"""The table of bridges on the page about the embedded AWS, from the docstrings of their modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent / "localaws"
SERVICES = PACKAGE / "src" / "localaws" / "services"


def bridges() -> Iterator[tuple[Path, str]]:
    """Each module that changes the emulator, with its docstring, by service."""
    for module in sorted(SERVICES.glob("*/*.py")):
        docstring = ast.get_docstring(ast.parse(module.read_text("utf-8"))) or ""
        if "Faithful to:" in docstring:
            yield module, docstring


def bridges_table() -> str:
    """A row for each bridge: its service, its module, and the first sentence of its docstring."""
    rows = []
    for module, docstring in bridges():
        service = module.parent
        name = (service / "__init__.py").read_text("utf-8").strip().strip('"').partition(":")[0].rstrip(".")
        link = f"[`{service.name}.{module.stem}`](../{module.relative_to(PACKAGE.parent).as_posix()})"
        rows.append(f"| {name} | {link} | {docstring.partition(chr(10))[0].rstrip('.')} |")
    return "\n".join(["| Service | Bridge | What it adds |", "|---|---|---|", *rows])
