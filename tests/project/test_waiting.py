"""Tests and scenarios wait for what they need, not for time: CI runs six of them on two cores."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("tests", "localaws/tests", "scenarios")
CLOCKS = {"monotonic", "perf_counter", "time"}
MAY_WAIT = re.compile(r"\btime\.(sleep|monotonic|perf_counter|time)\(")
# The fewest seconds that may be an upper bound: what takes two on a free machine takes them on a busy one.
FEWEST = 30


def problems(source: str) -> Iterator[str]:
    """What depends on the speed of the machine: pauses without a reason, and short limits."""
    if not MAY_WAIT.search(source):  # reading all files as Python would take seconds
        return
    lines, tree = source.splitlines(), ast.parse(source)
    polling = {id(node) for loop in ast.walk(tree) if isinstance(loop, ast.While) for node in ast.walk(loop)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _is_call(node, {"sleep"}) and id(node) not in polling:
            if "#" not in lines[node.lineno - 1]:
                yield f"line {node.lineno}: wait for something, or say next to it why any length is right"
        elif isinstance(node, ast.Compare):
            terms = [node.left, *node.comparators]
            for left, sign, right in zip(terms, node.ops, terms[1:], strict=False):
                if _is_duration(left) and isinstance(sign, ast.Lt | ast.LtE) and _is_short(right):
                    yield f"line {node.lineno}: a busy machine needs longer; prove it without the clock"


def _is_call(node: ast.AST, names: set[str]) -> bool:
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    module = node.func.value
    return isinstance(module, ast.Name) and module.id == "time" and node.func.attr in names


def _is_duration(node: ast.expr) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and _is_call(node.left, CLOCKS)


def _is_short(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and node.value < FEWEST


@pytest.mark.parametrize("room", ROOMS)
def test_nothing_waits_for_time_without_a_reason(room: str) -> None:
    found = [
        f"{file.relative_to(ROOT)}, {problem}"
        for file in sorted((ROOT / room).rglob("*.py"))
        for problem in problems(file.read_text("utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("time.sleep(1)", 1),
        ("time.sleep(1)  # what must not happen comes later, or never", 0),
        ("while not ready(): time.sleep(1)", 0),
        ("assert time.monotonic() - began < 3", 1),
        ("assert 1 < time.monotonic() - began <= 3", 1),
        ("assert 1 < time.monotonic() - began < 60", 0),
        ("assert time.monotonic() < deadline", 0),
    ],
)
def test_what_is_found(source: str, count: int) -> None:
    assert len(list(problems(source))) == count
