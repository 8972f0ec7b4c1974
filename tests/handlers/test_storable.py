"""JSON from outside is parsed strictly, and only so deep."""

from __future__ import annotations

import json

import pytest

from shared.storable import MAX_DEPTH, NotStorable, load_json


@pytest.mark.parametrize("depth", [1_500, 100_000, MAX_DEPTH + 1])
@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("kind", [str, bytes])
def test_json_that_is_nested_too_deeply_is_refused(
    depth: int, opened: str, closed: str, complete: bool, kind: type
) -> None:
    text = opened * depth + ("1" + closed * depth if complete else "")
    with pytest.raises(NotStorable, match="its JSON is nested more than 100 levels deep"):
        load_json(text if kind is str else text.encode())


@pytest.mark.parametrize(
    "value",
    [
        [[]] * 50_000,
        {"text": "[" * 50_000 + '\\"' + "{" * 50_000},
        {'"[' * 1_000: ["{[" * 1_000, "\\", "\\\\", "\n[["]},
    ],
)
def test_many_brackets_side_by_side_or_in_strings_are_not_deep(value: object) -> None:
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False).encode("utf-16")):
        assert load_json(text) == value


def test_the_allowed_depth_is_read() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert json.dumps(load_json(text)) == text


@pytest.mark.parametrize("text", ["", "{", "NaN", "1e999", "[" * 50 + "]" * 51, '"' + "[" * 200, b"\xff"])
def test_what_is_not_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(NotStorable):
        load_json(text)
