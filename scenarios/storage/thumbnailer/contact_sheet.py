"""Originals and their thumbnails → one PNG for a person to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont


@dataclass(frozen=True)
class SheetRow:
    """One row of the contact sheet: an original and its thumbnails."""

    caption: str
    original: Image.Image
    thumbnails: Sequence[Image.Image]


_GAP, _TEXT, _PANEL = 16, 22, 260


def draw(title: str, rows: Sequence[SheetRow], path: Path) -> Path:
    """Draw each original next to its thumbnails, with captions, and save the sheet as a PNG."""
    columns = 1 + max(len(row.thumbnails) for row in rows)
    heights = [_row_height(row) for row in rows]
    width = columns * (_PANEL + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(heights) + 3 * _GAP + _TEXT), "white")
    pen = ImageDraw.Draw(sheet)
    font, small = ImageFont.load_default(20), ImageFont.load_default(14)
    pen.text((_GAP, _GAP), title, fill="black", font=font)
    top = 2 * _GAP + _TEXT
    for row, height in zip(rows, heights, strict=True):
        pen.line((_GAP, top, width - _GAP, top), fill="lightgrey")
        pen.text((_GAP, top + 6), row.caption, fill="black", font=small)
        for column, picture in enumerate((row.original, *row.thumbnails)):
            left, below = _GAP + column * (_PANEL + _GAP), top + 6 + _TEXT
            shown = _fitted(picture)
            _paste_on_checks(sheet, shown, (left, below))
            label = f"{'original' if column == 0 else 'thumbnail'} {picture.width} x {picture.height}"
            if shown.size != picture.size:
                label += ", shown smaller"
            pen.text((left, below + shown.height + 2), label, fill="dimgrey", font=small)
        top += height
    path.parent.mkdir(parents=True, exist_ok=True)
    sheet.save(path, compress_level=3)  # hardly larger than the default, in half the time
    return path


def _row_height(row: SheetRow) -> int:
    return max(_fitted(one).height for one in (row.original, *row.thumbnails)) + 2 * _TEXT + _GAP


def _fitted(picture: Image.Image) -> Image.Image:
    """Return the picture, shrunk if it is larger than its place on the sheet."""
    shown = picture.copy()
    shown.thumbnail((_PANEL, _PANEL))
    return shown


def _paste_on_checks(sheet: Image.Image, picture: Image.Image, at: tuple[int, int]) -> None:
    """Paste a picture, with a chequered background where it is transparent."""
    if picture.mode == "RGBA":
        ground = Image.new("RGBA", picture.size, "white")
        pen = ImageDraw.Draw(ground)
        for x in range(0, picture.width, 16):
            for y in range(0, picture.height, 16):
                if (x + y) // 16 % 2:
                    pen.rectangle((x, y, x + 15, y + 15), fill="#d8d8d8")
        picture = Image.alpha_composite(ground, picture)
    sheet.paste(picture.convert("RGB"), at)
