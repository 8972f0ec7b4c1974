"""Draws what a scenario counted: small pictures (SVG) for light and dark pages, which need no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

_WIDTH, _ROW, _LEFT, _PLOT = 720, 30, 250, 110
_STYLE = (
    "svg{--ground:#fff;--text:#16191f;--soft:#545b64;--bar:#2f6fb0;--line:#b35900;--failed:#b3261e}"
    "@media(prefers-color-scheme:dark){svg{--ground:#161d26;--text:#f1f3f5;--soft:#b6bec9;--bar:#6fa8dc;"
    "--line:#ffb066;--failed:#ff8a80}}"
    "text{font:12px Helvetica,Arial,sans-serif;fill:var(--soft)}.title{font-weight:600;fill:var(--text)}"
    ".ground{fill:var(--ground)}.bar{fill:var(--bar)}.failed{fill:var(--failed)}"
    ".line{fill:none;stroke:var(--line);stroke-width:2}.axis{stroke:var(--soft);stroke-width:.5}"
)


@dataclass(frozen=True)
class Bar:
    """How many of some things: its length is their share."""

    name: str
    count: int
    of: int


@dataclass(frozen=True)
class Shares:
    """How a share changes in time.

    Args:
        title: What the share is of.
        seconds: How long it lasts.
        counted: The beginning and the end of each interval, and the share that was counted in it.
        wanted: When a share is set, and to what; it holds until the next.
        failed: When something failed.
    """

    title: str
    seconds: float
    counted: Sequence[tuple[float, float, float]]
    wanted: Sequence[tuple[float, float]]
    failed: Sequence[float] = ()


def save(path: Path, picture: str) -> Path:
    """Write a picture, and return where it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(picture, "utf-8")
    return path


def bars(title: str, rows: Sequence[Bar]) -> str:
    """A bar for each row, with the count next to it."""
    pieces, most = [], _WIDTH - _LEFT - 100
    for number, bar in enumerate(rows):
        y = 44 + number * _ROW
        length = most * bar.count / bar.of
        pieces += [
            f'<text x="{_LEFT - 10}" y="{y + 13}" text-anchor="end">{escape(bar.name)}</text>',
            f'<rect class="bar" x="{_LEFT}" y="{y}" width="{max(length, 1):.1f}" height="18"/>',
            f'<text x="{_LEFT + length + 8:.1f}" y="{y + 13}">{bar.count} of {bar.of}</text>',
        ]
    return _picture(title, 50 + len(rows) * _ROW, pieces)


def shares(title: str, panels: Sequence[Shares]) -> str:
    """A plot for each share: what was counted as bars, what was wanted as a line, failures below."""
    pieces: list[str] = []
    for number, panel in enumerate(panels):
        top = 52 + number * (_PLOT + 62)
        pieces.append(f'<text x="46" y="{top - 8}">{escape(panel.title)}</text>')
        pieces += _plot(panel, top)
    return _picture(title, 46 + len(panels) * (_PLOT + 62), pieces)


def _plot(panel: Shares, top: float) -> list[str]:
    scale = (_WIDTH - 46 - 20) / panel.seconds

    def x(seconds: float) -> float:
        return round(46 + seconds * scale, 1)

    def y(share: float) -> float:
        return round(top + _PLOT * (1 - share), 1)

    pieces = []
    for share in (0, 0.5, 1):
        pieces += [
            f'<text x="40" y="{y(share) + 4}" text-anchor="end">{share:.0%}</text>',
            f'<path class="axis" d="M46 {y(share)}H{_WIDTH - 20}"/>',
        ]
    for begin, end, share in panel.counted:
        size = f'width="{max(x(end) - x(begin) - 1, 1):.1f}" height="{round(y(0) - y(share), 1)}"'
        pieces.append(f'<rect class="bar" x="{x(begin)}" y="{y(share)}" {size}/>')
    ends = [*(when for when, _ in panel.wanted[1:]), panel.seconds]
    steps = [f"{x(when)} {y(share)}H{x(end)}" for (when, share), end in zip(panel.wanted, ends, strict=True)]
    pieces.append(f'<path class="line" d="M{"L".join(steps)}"/>')
    pieces += [f'<circle class="failed" cx="{x(when)}" cy="{y(0) + 8}" r="2.5"/>' for when in panel.failed]
    pieces.append(f'<text x="{_WIDTH - 20}" y="{y(0) + 24}" text-anchor="end">{panel.seconds:.0f} s</text>')
    return pieces


def _picture(title: str, height: int, pieces: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" role="img" aria-labelledby="title"><title id="title">{escape(title)}</title>'
        f'<style>{_STYLE}</style><rect class="ground" width="{_WIDTH}" height="{height}" rx="8"/>'
        f'<text class="title" x="16" y="24">{escape(title)}</text>'
    )
    return "\n".join([head, *pieces, "</svg>", ""])
