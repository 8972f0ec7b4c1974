"""The photographs that are sent, and an independent opinion on what their thumbnails must look like.

The reference is made here with plain Pillow, decoding everything at full size: slow, simple, and by other
code than the handler's.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageChops, ImageCms, ImageDraw, ImageFilter, ImageFont, ImageOps, ImageStat

FOLDER = Path(__file__).parent / "photographs"

# Mean difference per channel, of 255, after a blur that takes away what lossy encoders and resampling filters
# differ in. What remains between two good thumbnails is below 2; a colour profile that is ignored shifts the
# red of the coffee by 15, and a picture on its side is 40 and more away.
TOLERANCE = 3.0
_BLUR = ImageFilter.GaussianBlur(2)


@dataclass(frozen=True)
class Photograph:
    """A photograph to send: the file, the name it gets in the bucket, and what is special about it."""

    file: str
    name: str
    shows: str


PHOTOGRAPHS = (
    Photograph(
        "rocket-orientation-6.jpg", "rocket at night.jpg", "JPEG stored on its side, spaces in its key"
    ),
    Photograph(
        "astronaut-progressive.jpg", "1+1=2 & 100%.JPG", "progressive JPEG, plus and percent in its key"
    ),
    Photograph(
        "coffee-wide-gamut.jpg", "café ☕ コーヒー.jpg", "JPEG in a wide-gamut colour space, unicode key"
    ),
    Photograph("cat-alpha.png", "cat (cut out).png", "PNG with transparency"),
    Photograph("cat.webp", "a-key-of-1024-bytes/", "WebP, under a key of 1,024 bytes"),
    Photograph("coffee-two-frames.gif", "coffee.gif", "GIF of two frames"),
    Photograph("rocket.tiff", "rocket.tiff", "TIFF"),
    Photograph("astronaut.avif", "astronaut.avif", "AVIF"),
)


def photograph(name: str) -> bytes:
    """The bytes of one of the photographs."""
    return (FOLDER / name).read_bytes()


@cache
def upright(data: bytes) -> Image.Image:
    """The first frame as a person sees it: turned by its EXIF orientation, in sRGB, with its transparency."""
    picture = Image.open(io.BytesIO(data))
    profile = picture.info.get("icc_profile")
    transparent = picture.has_transparency_data
    turned = ImageOps.exif_transpose(picture).convert("RGBA" if transparent else "RGB")
    if profile and not transparent:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        converted = ImageCms.profileToProfile(turned, embedded, ImageCms.createProfile("sRGB"))
        assert converted is not None  # None only when it works in place
        return converted
    return turned


def reference(data: bytes, size: int) -> Image.Image:
    """The thumbnail whose longest edge is `size`, or the whole picture when it is smaller than that."""
    picture = upright(data)
    scale = min(1.0, size / max(picture.size))
    edges = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(edges, Image.Resampling.LANCZOS)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference per channel, 0 to 255, of two pictures of the same size; transparency counts too.

    What is behind a transparent pixel does not count: both are laid on grey.
    """
    colours = ImageChops.difference(_on_grey(one).filter(_BLUR), _on_grey(other).filter(_BLUR))
    alphas = (picture.convert("RGBA").getchannel("A").filter(_BLUR) for picture in (one, other))
    return max(*ImageStat.Stat(colours).mean, *ImageStat.Stat(ImageChops.difference(*alphas)).mean)


def _on_grey(picture: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", picture.size, (128, 128, 128, 255))
    return Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")


@dataclass(frozen=True)
class SheetRow:
    """One row of the contact sheet: an original and its thumbnails."""

    caption: str
    original: Image.Image
    thumbnails: Sequence[Image.Image]


_GAP, _TEXT, _PANEL = 16, 22, 260


def contact_sheet(title: str, rows: Sequence[SheetRow], path: Path) -> Path:
    """Draw originals beside their thumbnails, with captions, into one PNG."""
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
    sheet.save(path, compress_level=3)  # hardly larger than by default, in half the time
    return path


def _row_height(row: SheetRow) -> int:
    return max(_fitted(one).height for one in (row.original, *row.thumbnails)) + 2 * _TEXT + _GAP


def _fitted(picture: Image.Image) -> Image.Image:
    """The picture, made smaller if it is larger than its place on the sheet."""
    shown = picture.copy()
    shown.thumbnail((_PANEL, _PANEL))
    return shown


def _paste_on_checks(sheet: Image.Image, picture: Image.Image, at: tuple[int, int]) -> None:
    """Paste a picture; transparency shows a chequered ground."""
    if picture.mode == "RGBA":
        ground = Image.new("RGBA", picture.size, "white")
        pen = ImageDraw.Draw(ground)
        for x in range(0, picture.width, 16):
            for y in range(0, picture.height, 16):
                if (x + y) // 16 % 2:
                    pen.rectangle((x, y, x + 15, y + 15), fill="#d8d8d8")
        picture = Image.alpha_composite(ground, picture)
    sheet.paste(picture.convert("RGB"), at)
