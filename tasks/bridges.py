"""The tables of bridges and of CloudFormation types on the pages about the embedded AWS."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from localaws import patching

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


def types_table() -> str:
    """A row for each CloudFormation type: which bridges add or change it, and what of it is only recorded."""
    patching.discover()
    in_emulator = set(getattr(importlib.import_module(patching.PROVISIONERS), patching.HANDLERS))
    by_type = patching.bridges_of_types()
    rows = []
    for type_ in sorted(in_emulator | by_type.keys()):
        where = "emulator" if type_ in in_emulator else ""
        changed = ", ".join(f"`{one}`" for one in sorted(by_type.get(type_, ())))
        recorded = ", ".join(
            f"`{path}`" for path in sorted({path for path, _ in patching.declared_as_recorded(type_)})
        )
        rows.append(f"| `{type_}` | {where} | {changed} | {recorded} |")
    head = "| Type | Created by | Added or changed by the bridges | Recorded only, at least in some cases |"
    return "\n".join([head, "|---|---|---|---|", *rows])
