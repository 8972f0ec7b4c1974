"""The photographs that are uploaded, and the reference that their thumbnails must look like.

The reference is made with plain Pillow, which decodes everything at full size: slow, simple, and independent
of the handler's code.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageChops, ImageCms, ImageFilter, ImageOps, ImageStat

FOLDER = Path(__file__).parent / "photographs"

# Mean difference per channel, 0 to 255, after a blur that removes the differences of lossy encoders and
# resampling filters. Two good thumbnails differ by less than 2; an ignored colour profile shifts the red of
# the coffee by 15, and a picture on its side differs by 40 and more.
TOLERANCE = 3.0
_BLUR = ImageFilter.GaussianBlur(2)


@dataclass(frozen=True)
class Photograph:
    """A photograph to upload: its file, its name in the bucket, and what is special about it."""

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
    """Return the bytes of a photograph."""
    return (FOLDER / name).read_bytes()


@cache
def upright(data: bytes) -> Image.Image:
    """Return the first frame with its EXIF orientation applied, in sRGB, with its transparency."""
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
    """Return the thumbnail whose longest edge is `size`, or the whole picture if it is smaller."""
    picture = upright(data)
    scale = min(1.0, size / max(picture.size))
    edges = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(edges, Image.Resampling.LANCZOS)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference per channel, 0 to 255, of two pictures of the same size; transparency counts too.

    The hidden colour of transparent pixels does not count: both are pasted on grey.
    """
    colours = ImageChops.difference(_on_grey(one).filter(_BLUR), _on_grey(other).filter(_BLUR))
    alphas = (picture.convert("RGBA").getchannel("A").filter(_BLUR) for picture in (one, other))
    return max(*ImageStat.Stat(colours).mean, *ImageStat.Stat(ImageChops.difference(*alphas)).mean)


def _on_grey(picture: Image.Image) -> Image.Image:
    ground = Image.new("RGBA", picture.size, (128, 128, 128, 255))
    return Image.alpha_composite(ground, picture.convert("RGBA")).convert("RGB")
