"""The bytes of a picture → decoded once, no larger than needed → its thumbnails. Knows nothing of AWS.

There is one thumbnail for each size. A picture is never enlarged: where it is smaller than a size, that
thumbnail has the dimensions of the picture, so every size has a thumbnail.
"""

from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import NamedTuple

from PIL import Image

from .decoders import Format, decode, fit
from .settings import Colour, OutputFormat

# Smaller thumbnails are made from one that is at least this many times as large: resizing twice by next to
# nothing would blur them.
_LARGE_ENOUGH = 2


class Thumbnail(NamedTuple):
    """A thumbnail for one of the sizes.

    Args:
        size: The longest edge that was asked for.
        width: In pixels.
        height: In pixels.
        data: The encoded picture.
    """

    size: int
    width: int
    height: int
    data: bytes


class Thumbnails(NamedTuple):
    """The thumbnails of a picture.

    Args:
        width: Of the picture after its orientation is applied, in pixels.
        height: Likewise.
        format: The picture's format.
        thumbnails: One for each size, in the order of the sizes.
    """

    width: int
    height: int
    format: Format
    thumbnails: tuple[Thumbnail, ...]


def make_thumbnails(
    data: bytes,
    *,
    sizes: Sequence[int],
    format: OutputFormat,
    quality: int,
    background: Colour,
    max_pixels: int,
) -> Thumbnails:
    """Make the thumbnails of a picture.

    Args:
        data: The bytes of the picture.
        sizes: Longest edges, in pixels.
        format: Format of the thumbnails.
        quality: 1 (smallest) to 100 (best).
        background: What is behind transparent pictures in JPEG thumbnails.
        max_pixels: Pictures with more pixels are refused before they are decoded.

    Raises:
        PermanentFailure: The picture cannot be decoded; the subclass is the reason.
    """
    picture = decode(data, max(sizes), max_pixels=max_pixels)
    edges = {size: fit(picture.width, picture.height, size) for size in sizes}
    encoded = {
        image.size: _encode(image, format, quality, background)
        for image in _scale(picture.image, set(edges.values()))
    }
    thumbnails = tuple(Thumbnail(size, *edges[size], encoded[edges[size]]) for size in sizes)
    return Thumbnails(picture.width, picture.height, picture.format, thumbnails)


def _scale(image: Image.Image, sizes: set[tuple[int, int]]) -> Iterator[Image.Image]:
    """Yield the image in each size, largest first; it has the largest already."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")  # the alpha channel hides nothing
    image.info = {}  # thumbnails carry none of the picture's metadata
    made: list[Image.Image] = []
    for size in sorted(sizes, reverse=True):
        source = next((one for one in reversed(made) if one.width >= _LARGE_ENOUGH * size[0]), image)
        made.append(source if source.size == size else source.resize(size, Image.Resampling.BICUBIC))
        yield made[-1]


def _encode(image: Image.Image, format: OutputFormat, quality: int, background: Colour) -> bytes:
    file = BytesIO()
    file.name = f"thumbnail.{format.value}"  # Pillow then loads one encoder instead of all
    if format is OutputFormat.WEBP:
        if image.mode not in ("RGB", "RGBA"):
            image = image.convert("RGB")
        image.save(file, quality=quality)
    else:
        if image.mode == "RGBA":
            flat = Image.new("RGB", image.size, background)
            flat.paste(image, mask=image.getchannel("A"))
            image = flat
        image.save(file, quality=quality, optimize=True)
    return file.getvalue()
