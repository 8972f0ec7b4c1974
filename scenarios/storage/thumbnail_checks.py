"""Compares what came out of a thumbnailer with what was sent."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from scenarios.framework import Story, require
from scenarios.storage import pictures
from scenarios.storage.pictures import Photograph
from scenarios.storage.thumbnails import Thumbnailer


@dataclass(frozen=True)
class Sent:
    """A photograph that was sent."""

    photograph: Photograph
    key: str
    data: bytes
    version: str


def check_thumbnails(
    thumbnailer: Thumbnailer, story: Story, sent: list[Sent], rows: list[dict[str, Any]], folder: Path
) -> list[Path]:
    """Compare every thumbnail with the reference; keep them, and a sheet of all, for a person to look at."""
    folder.mkdir(parents=True, exist_ok=True)
    files, sheet, worst = [], [], 0.0
    for one, row in zip(sent, rows, strict=True):
        _check_row(one, row, thumbnailer.sizes)
        made = thumbnailer.thumbnails(row)
        for size, thumbnail in zip(thumbnailer.sizes, made, strict=True):
            worst = max(worst, check_picture(one, size, thumbnail.picture))
            files.append(folder / f"{Path(one.photograph.file).stem}-{size}.webp")
            files[-1].write_bytes(thumbnail.data)
        sheet.append(
            pictures.SheetRow(
                f"{one.photograph.file}: {one.photograph.shows}",
                pictures.upright(one.data),
                [thumbnail.picture for thumbnail in made],
            )
        )
    picture = pictures.contact_sheet("Originals and their thumbnails", sheet, folder / "contact-sheet.png")
    story.say(
        f"{len(files)} thumbnails came out, in sizes {', '.join(map(str, thumbnailer.sizes))}, none "
        f"larger than its original; the one least like the reference differs by {worst / 2.55:.1f} %."
    )
    return [picture, *files]


def _check_row(one: Sent, row: dict[str, Any], sizes: tuple[int, ...]) -> None:
    name = one.photograph.file
    picture = pictures.upright(one.data)
    seen = (int(row["width"]), int(row["height"]), int(row["size_bytes"]))
    expected = (picture.width, picture.height, len(one.data))
    require(seen == expected, f"row of {name}: width, height, bytes are {seen}, not {expected}")
    made = tuple(int(entry["size"]) for entry in row["thumbnails"])
    require(made == sizes, f"row of {name}: sizes are {made}, not {sizes}")


def check_picture(one: Sent, size: int, thumbnail: Image.Image) -> float:
    """Compare a thumbnail with the reference, and return by how much of 255 they differ.

    Raises:
        ScenarioFailed: Format or size is wrong, or the difference too large.
    """
    reference = pictures.reference(one.data, size)
    name = f"{one.photograph.file} at {size}"
    require(thumbnail.format == "WEBP", f"{name}: the thumbnail is {thumbnail.format}, not WEBP")
    require(thumbnail.size == reference.size, f"{name}: {thumbnail.size} pixels, not {reference.size}")
    difference = pictures.difference(thumbnail, reference)
    require(
        difference <= pictures.TOLERANCE,
        f"{name}: differs from the reference by {difference:.1f} of 255, more than {pictures.TOLERANCE}",
    )
    return difference
