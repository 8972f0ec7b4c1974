"""The page about the embedded AWS: its table of bridges is generated, and its example runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.bridges import SERVICES, bridges, bridges_table, types_table

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "embedded-aws.md").read_text("utf-8")
README = (ROOT / "localaws" / "README.md").read_text("utf-8")


def changes_the_emulator(module: Path) -> bool:
    """Whether it declares changes that are not only for resets."""
    found = re.search(
        r"^from localaws\.patching import (\([^)]*\)|[^\n(]*)$", module.read_text("utf-8"), re.M
    )
    names = set(re.findall(r"\w+", found[1])) if found else set()
    return bool(names - {"on_reset", "on_start", "Created", "Handler", "Properties"})


def test_every_module_that_changes_the_emulator_says_how_faithful_it_is() -> None:
    described = {module for module, _ in bridges()}
    changing = {module for module in SERVICES.glob("*/*.py") if changes_the_emulator(module)}
    assert len(changing) > 40
    assert changing <= described
    for module, docstring in bridges():
        assert "\nNot to:" in docstring, module
        assert "https://docs.aws.amazon.com/" in docstring, module


def test_the_table_of_bridges_is_the_generated_one() -> None:
    table = bridges_table()
    assert table.count("\n") > 40
    assert f"<!-- generated: bridges -->\n{table}\n<!-- end -->" in PAGE


def test_the_table_of_types_is_the_generated_one() -> None:
    table = types_table()
    (function,) = [
        row for row in table.splitlines() if row.startswith("| `AWS::Lambda::Function` | emulator |")
    ]
    assert "`lambda_.properties`" in function
    assert "| `AWS::EC2::EgressOnlyInternetGateway` |  | `ec2." in table  # only of a bridge
    page = (ROOT / "docs" / "embedded-aws-types.md").read_text("utf-8")
    assert f"<!-- generated: types -->\n{table}\n<!-- end -->" in page


def test_each_test_that_the_page_names_exists() -> None:
    folders = (ROOT / "localaws" / "tests", ROOT / "tests" / "local")
    there = {file.name for folder in folders for file in folder.rglob("test_*.py")}
    assert set(re.findall(r"`(?:[\w/]+/)?(test_\w+\.py)`", PAGE)) <= there


@pytest.mark.local
@pytest.mark.parametrize("page", [PAGE, README], ids=["page", "README"])
def test_the_example_runs(page: str) -> None:
    example = re.search(r"```python\n(from localaws import LocalAws\n.*?)```", page, re.DOTALL)
    assert example
    ran = subprocess.run(
        [sys.executable, "-c", example[1]], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout == "123456789012\n", ran.stderr
