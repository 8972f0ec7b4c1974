"""Every diagram on a page is one for Mermaid itself, names each part once, and connects all of them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
_DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)

# What may be connected to nothing, by page: ids of nodes, each with the reason.
UNCONNECTED: dict[str, dict[str, str]] = {
    "docs/delivery/cross-account-code.md 1": {
        "PricesFunction8CAED115": "its code is in the CDK's bucket, which is no part of the stack",
        "Inline6CF80F9D": "its code is in the template",
        "ReleasesBucketEA8ED4CA": "the scenario deploys from it, in another account",
    },
    "docs/delivery/provisioned-concurrency.md 1": {
        "Reports65402A0A": "it shares nothing with the others but the account's concurrency",
    },
}


def pages() -> dict[str, str]:
    """The diagrams of all pages, by the path of the page."""
    files = [ROOT / "README.md", ROOT / "localaws" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {
        f"{file.relative_to(ROOT).as_posix()} {number}": diagram
        for file in files
        for number, diagram in enumerate(_DIAGRAM.findall(file.read_text("utf-8")), 1)
    }


def parse(diagrams: Iterable[str]) -> list[dict[str, Any]]:
    """What Mermaid reads: nodes with their texts and edges, or an error. One process reads them all."""
    node = shutil.which("node")
    if node is None or not (ROOT / "node_modules" / "mermaid").exists():
        pytest.skip("`python3 run.py test` installs Mermaid")
    script = ROOT / "tests" / "project" / "diagrams.mjs"
    done = subprocess.run(
        [node, script],
        input=json.dumps(list(diagrams)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    parsed: list[dict[str, Any]] = json.loads(done.stdout)
    return parsed


def faults(diagram: dict[str, Any], unconnected: Iterable[str] = ()) -> list[str]:
    """What is wrong with a diagram that Mermaid has read."""
    if "error" in diagram:
        return [diagram["error"]]
    ends = {end for edge in diagram["edges"] for end in edge}
    names = list(diagram["nodes"].values())
    return [
        *(
            f"not connected: {name}"
            for node, name in diagram["nodes"].items()
            if node not in ends | set(unconnected)
        ),
        *(f"{names.count(name)} parts are called {name}" for name in {*names} if names.count(name) > 1),
    ]


def test_every_diagram_is_read_by_mermaid_and_is_connected() -> None:
    diagrams = pages()
    assert len(diagrams) > 9
    read = dict(zip(diagrams, parse(diagrams.values()), strict=True))
    wrong = {
        page: found for page, diagram in read.items() if (found := faults(diagram, UNCONNECTED.get(page, {})))
    }
    assert not wrong
    for page, unconnected in UNCONNECTED.items():
        assert set(unconnected) <= set(read[page]["nodes"]), page


def test_a_faulty_diagram_is_found() -> None:
    unquoted, unconnected, twice = parse(
        [
            "flowchart LR\n a -->|rate(5 minutes)| b\n",
            'flowchart LR\n a["A"] --> b["B"]\n c["C"]\n',
            'flowchart LR\n a["Queue"] --> b["Queue"]\n',
        ]
    )
    assert "Parse error on line 2" in faults(unquoted)[0]
    assert faults(unconnected) == ["not connected: C"]
    assert faults(unconnected, ["c"]) == []
    assert faults(twice) == ["2 parts are called Queue"]
