"""The table of foreign CDK apps in the README of `localaws`, from the record of a run.

`LOCALAWS_RECORD_APPS=1 python3 run.py test --full localaws/tests/apps` makes the record.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import Any

APPS = Path(__file__).resolve().parent.parent / "localaws" / "tests" / "apps"


def record() -> dict[str, dict[str, Any]]:
    """What the last recorded run saw of each app."""
    found: dict[str, dict[str, Any]] = json.loads((APPS / "record.json").read_text("utf-8"))
    return found


def apps_table() -> str:
    """How many apps could be deployed, driven and destroyed, and a row for each."""
    seen = record()
    deployed = [name for name, one in seen.items() if one.get("deployed")]
    proven = [name for name, one in seen.items() if _is_proven(one)]
    quiet = [name for name in proven if not seen[name]["ignored"]]
    rows = [f"| {_link(name)} | {_result(one)} |" for name, one in sorted(seen.items())]
    return "\n".join(
        [
            f"**{len(deployed)} of {len(seen)}** are deployed. **{len(proven)} of {len(seen)}** also do what "
            "they should when they are driven, and leave nothing behind; "
            f"**{len(quiet)} of {len(seen)}** with nothing ignored.",
            "",
            "| app | result |",
            "|---|---|",
            *rows,
        ]
    )


def _is_proven(one: dict[str, Any]) -> bool:
    return bool(one.get("driven")) and one.get("left") == []


def _result(one: dict[str, Any]) -> str:
    if not _is_proven(one):
        return f"missing: {one['missing']}"
    ignored = ", ".join(f"`{name}`" for name in one["ignored"])
    return f"without effect: {ignored}" if ignored else "works"


def _link(name: str) -> str:
    """What the app is, by the first sentence of its docstring."""
    docstring = ast.get_docstring(ast.parse((APPS / name / "app.py").read_text("utf-8"))) or ""
    title = re.sub(r"\s+", " ", docstring.partition("\n\n")[0]).rstrip(".")
    return f"`{name}`: {title[0].lower()}{title[1:]}"
