"""The bytes of a picture → its thumbnails. Knows files of pictures, and nothing of where they come from.

The picture is decoded once, at no more than what the largest thumbnail needs; the smaller ones are made from
that. Two decoders share the work, each for what it is the fastest at: see ``jpeg.py`` and ``vips.py``.

Each size gives one thumbnail. A picture is never enlarged: where it is smaller than a size, that thumbnail
has the size of the picture itself, so whoever shows thumbnails finds one for every size.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from io import BytesIO
from typing import NamedTuple

from errors import TooManyPixels
from formats import Format, sniff
from jpeg import JpegPicture
from PIL import Image
from vips import VipsPicture

# Smaller thumbnails are made from one that is at least this many times as large, so that none is blurred by
# having been resized by next to nothing before.
_LARGE_ENOUGH = 2

# The others need at most 9 bytes of memory for a pixel, AVIF up to 24 (12 bits, full colour, transparency).
_MEMORY_PER_PIXEL = {Format.AVIF: 2}


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
        width: Of the picture as a person sees it, in pixels.
        height: Likewise.
        format: The picture's format.
        thumbnails: One for each size, in the order of the sizes.
    """

    width: int
    height: int
    format: Format
    thumbnails: tuple[Thumbnail, ...]


class Output(NamedTuple):
    """How thumbnails look.

    Args:
        sizes: Longest edges, in pixels.
        format: ``"webp"`` or ``"jpeg"``.
        quality: 1 (smallest) to 100 (best).
        background: What is behind transparent pictures in JPEG thumbnails.
    """

    sizes: Sequence[int]
    format: str
    quality: int
    background: tuple[int, int, int]


def make_thumbnails(data: bytes, output: Output, *, max_pixels: int) -> Thumbnails:
    """Make the thumbnails of a picture.

    Raises:
        PermanentFailure: There is something wrong with the picture; the subclass says what.
    """
    found = sniff(data)
    with closing(_open(data, found)) as picture:
        width, height = picture.width, picture.height
        allowed = max_pixels // _MEMORY_PER_PIXEL.get(found, 1)
        if width * height > allowed:
            raise TooManyPixels(
                f"{width:,} x {height:,} pixels; of a {found.value} at most {allowed:,} pixels are decoded"
            )
        edges = {size: fit(width, height, size) for size in output.sizes}
        image = picture.decode(max(edges.values()))
    encoded = {one.size: _encode(one, output) for one in _scale(image, set(edges.values()))}
    thumbnails = tuple(Thumbnail(size, *edges[size], encoded[edges[size]]) for size in output.sizes)
    return Thumbnails(width, height, found, thumbnails)


def fit(width: int, height: int, size: int) -> tuple[int, int]:
    """Return width and height of a picture whose longest edge is at most ``size``; never more than it has."""
    scale = min(1.0, size / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _open(data: bytes, format: Format) -> JpegPicture | VipsPicture:
    if format is Format.JPEG:
        picture = JpegPicture(data)
        if picture.is_common:
            return picture
        picture.close()
    return VipsPicture(data, format)


def _scale(image: Image.Image, sizes: set[tuple[int, int]]) -> Iterator[Image.Image]:
    """Yield the image in each size, the largest of which it has already."""
    image = _without_empty_alpha(image)
    image.info = {}  # no metadata of the picture gets into its thumbnails
    made: list[Image.Image] = []
    for size in sorted(sizes, reverse=True):
        source = next((one for one in reversed(made) if one.width >= _LARGE_ENOUGH * size[0]), image)
        made.append(source if source.size == size else source.resize(size, Image.Resampling.BICUBIC))
        yield made[-1]


def _without_empty_alpha(image: Image.Image) -> Image.Image:
    """Drop an alpha channel that hides nothing."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB")
    return image


def _encode(image: Image.Image, output: Output) -> bytes:
    return _encode_jpeg(image, output) if output.format == "jpeg" else _encode_webp(image, output)


def _encode_jpeg(image: Image.Image, output: Output) -> bytes:
    if image.mode == "RGBA":
        flat = Image.new("RGB", image.size, output.background)
        flat.paste(image, mask=image.getchannel("A"))
        image = flat
    file = _File("thumbnail.jpg")
    image.save(file, quality=output.quality, optimize=True)
    return file.getvalue()


def _encode_webp(image: Image.Image, output: Output) -> bytes:
    if image.mode not in ("RGB", "RGBA"):
        image = image.convert("RGB")
    file = _File("thumbnail.webp")
    image.save(file, quality=output.quality)
    return file.getvalue()


class _File(BytesIO):
    """A file in memory. By its name, Pillow loads the one encoder that is needed instead of all."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
