"""The page about the embedded AWS has a row for each bridge, names tests that exist, and its example runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PAGE = (ROOT / "docs" / "embedded-aws.md").read_text("utf-8")
_BRIDGES = ROOT / "localaws" / "src" / "localaws"


def _bridges() -> list[str]:
    """Modules that change the emulator's behaviour, without those that only call others."""
    installing = [file for file in _BRIDGES.glob("*.py") if "\ndef install()" in file.read_text("utf-8")]
    return sorted(file.stem for file in installing if file.stem not in ("recorder", "lambda_"))


@pytest.mark.parametrize("bridge", _bridges())
def test_each_bridge_has_a_row(bridge: str) -> None:
    assert re.search(rf"^\| `{bridge}` \|", _PAGE, re.MULTILINE)


def test_each_test_that_is_named_exists() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", _PAGE))
    there = {file.name for file in (ROOT / "localaws" / "tests").rglob("test_*.py")}
    assert len(named) > 10
    assert named <= there


def test_each_bridge_says_what_it_is_faithful_to_and_what_not() -> None:
    for bridge in _bridges():
        text = (_BRIDGES / f"{bridge}.py").read_text("utf-8")
        assert "Faithful to:" in text, bridge
        assert "Not to:" in text, bridge
        assert "https://docs.aws.amazon.com/" in text, bridge


@pytest.mark.local
def test_the_example_runs(tmp_path: Path) -> None:
    example = re.search(r"```python\n(.*?)```", _PAGE, re.DOTALL)
    assert example
    ran = subprocess.run(
        [sys.executable, "-c", example[1]], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ran.stdout == "123456789012\n", ran.stderr
