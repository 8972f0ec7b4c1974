"""What every app of others has: a page that it follows, a size, a way to drive it, and a record."""

from __future__ import annotations

import ast
import json

import pytest

from helpers.foreign_apps import APPS, NAMES


def test_there_are_thirty_and_each_is_recorded() -> None:
    recorded = json.loads((APPS / "record.json").read_text("utf-8"))
    assert len(NAMES) >= 30
    assert sorted(recorded) == NAMES
    unproven = [name for name, one in recorded.items() if not one.get("driven") or one.get("left")]
    assert [name for name in unproven if not recorded[name]["missing"]] == []
    assert [name for name in recorded if recorded[name]["missing"] and name not in unproven] == []


@pytest.mark.parametrize("name", NAMES)
def test_an_app_is_small_plain_and_cites_its_page(name: str) -> None:
    source = (APPS / name / "app.py").read_text("utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    assert "https://" in docstring
    code = source.replace(docstring, "").splitlines()
    assert len([line for line in code if line.strip()]) <= 60
    assert "cdk_lambda_patterns" not in source
    assert "localaws" not in source
    assert (APPS / name / "drive.py").exists()
