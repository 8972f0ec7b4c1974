"""The bytes of a picture → decoded once, no larger than needed → its thumbnails. Knows nothing of AWS.

There is one thumbnail for each size. A picture is never enlarged: where it is smaller than a size, that
thumbnail has the dimensions of the picture, so every size has a thumbnail.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import NamedTuple

from PIL import Image

from .decoders import Format, decode, fit
from .settings import Settings

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


def make_thumbnails(data: bytes, settings: Settings) -> Thumbnails:
    """Make the thumbnails of a picture.

    Raises:
        PermanentFailure: The picture cannot be decoded; the subclass is the reason.
    """
    picture = decode(
        data,
        max(settings.sizes),
        max_pixels=settings.max_pixels,
        incomplete_jpeg=settings.incomplete_jpeg,
    )
    edges = {size: fit(picture.width, picture.height, size) for size in settings.sizes}
    encoded = {image.size: _encode(image, settings) for image in _scale(picture.image, set(edges.values()))}
    thumbnails = tuple(Thumbnail(size, *edges[size], encoded[edges[size]]) for size in settings.sizes)
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


def _encode(image: Image.Image, settings: Settings) -> bytes:
    file = BytesIO()
    file.name = f"thumbnail.{settings.output_format}"  # Pillow then loads one encoder instead of all
    if settings.output_format == "webp":
        if image.mode not in ("RGB", "RGBA"):
            image = image.convert("RGB")
        image.save(file, quality=settings.quality)
    else:
        if image.mode == "RGBA":
            flat = Image.new("RGB", image.size, settings.background)
            flat.paste(image, mask=image.getchannel("A"))
            image = flat
        image.save(file, quality=settings.quality, optimize=True)
    return file.getvalue()
