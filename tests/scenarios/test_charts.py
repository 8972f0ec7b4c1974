"""The lengths and places in a chart are those of what was counted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenarios.support.charts import Bar, Shares, bars, save, shares


def numbers(pattern: str, picture: str) -> list[float]:
    return [float(found) for found in re.findall(pattern, picture)]


def test_a_bar_is_as_long_as_its_share() -> None:
    picture = bars("Hits", [Bar("without", 9, 36), Bar("with", 36, 36), Bar("none", 0, 36)])
    quarter, whole, none = numbers(r'class="bar".* width="([\d.]+)"', picture)
    assert quarter == pytest.approx(whole / 4, abs=0.1)
    assert none == 1  # so that there is something to see
    assert "9 of 36" in picture


def test_a_share_is_as_high_as_it_is_and_where_it_was() -> None:
    panel = Shares("A release", 4, [(0, 1, 0.0), (2, 3, 0.5), (3, 4, 1.0)], [(0, 0.0), (2, 0.5)], [2.5])
    picture = shares("Releases", [panel])
    heights = numbers(r'class="bar".* height="([\d.]+)"', picture)
    assert heights == [0, 55, 110]
    starts = numbers(r'class="bar" x="([\d.]+)"', picture)
    assert starts[1] - starts[0] == pytest.approx(2 * (starts[2] - starts[1]))
    [failed] = numbers(r'cx="([\d.]+)"', picture)
    assert starts[1] < failed < starts[2]


def test_a_chart_escapes_its_texts(tmp_path: Path) -> None:
    path = save(tmp_path / "out" / "chart.svg", bars("a < b & c", [Bar("<x>", 1, 2)]))
    text = path.read_text("utf-8")
    assert "a &lt; b &amp; c" in text
    assert "<x>" not in text
