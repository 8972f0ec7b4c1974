"""The bytes of a picture → its pixels, upright, in sRGB, at the size that is wanted. Start with `decode`.

Two decoders share the work, each for the formats that it was measured to be the fastest for
(``benchmarks/README.md``): Pillow for common JPEGs (``jpeg.py``), libvips for everything else (``vips.py``).
HEIC, which neither decodes, has one of its own (``heic.py``). What would cost too much or get wrong colours
is refused before (``structure.py``, ``tiff.py``).
"""

from contextlib import closing
from typing import NamedTuple

from PIL import Image

from .errors import DamagedImage, TooManyPixels
from .formats import Format, sniff
from .heic import HeicPicture
from .jpeg import JpegPicture
from .structure import decodable
from .vips import VipsPicture

__all__ = ["Format", "Picture", "decode", "fit"]

# The other formats need at most 9 bytes of memory per pixel, HEIC 13, AVIF up to 24 (12 bits, 4:4:4,
# transparency).
_MEMORY_PER_PIXEL = {Format.AVIF: 2, Format.HEIC: 2}


# The decoders work row by row: a picture of one column costs a hundred times as much as a square one.
MAX_EDGE = 1_000_000

_END_OF_JPEG = b"\xff\xd9"


class Picture(NamedTuple):
    """A decoded picture.

    Args:
        format: The format of its file.
        width: Of the whole picture after its orientation is applied, in pixels.
        height: Likewise.
        image: Its pixels, which may be fewer.
    """

    format: Format
    width: int
    height: int
    image: Image.Image


def decode(data: bytes, size: int, *, max_pixels: int, incomplete_jpeg: bool = False) -> Picture:
    """Decode a picture so that its longest edge is at most ``size``.

    Args:
        data: The bytes of its file.
        size: The longest edge, in pixels. A smaller picture is not enlarged.
        max_pixels: Pictures with more pixels are refused before they are decoded, AVIF and HEIC with half.
        incomplete_jpeg: Whether a JPEG may end too early; what is missing of it is grey.

    Raises:
        PermanentFailure: It cannot be decoded; the subclass is the reason.
    """
    found = sniff(data)
    if incomplete_jpeg and found is Format.JPEG and not data.endswith(_END_OF_JPEG):
        data += _END_OF_JPEG  # after an end that is somewhere before, it is not read
    data = decodable(data, found)
    with closing(_open(data, found)) as picture:
        width, height = picture.width, picture.height
        if width < 1 or height < 1:
            raise DamagedImage(f"{width} x {height} pixels; its file is damaged")
        if max(width, height) > MAX_EDGE:
            raise TooManyPixels(f"{width:,} x {height:,} pixels; an edge has at most {MAX_EDGE:,} pixels")
        allowed = max_pixels // _MEMORY_PER_PIXEL.get(found, 1)
        if width * height > allowed:
            raise TooManyPixels(
                f"{width:,} x {height:,} pixels; at most {allowed:,} pixels of a {found.value} are decoded"
            )
        return Picture(found, width, height, picture.decode(fit(width, height, size)))


def fit(width: int, height: int, size: int) -> tuple[int, int]:
    """Return width and height of a picture whose longest edge is at most ``size``, never enlarged."""
    scale = min(1.0, size / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _open(data: bytes, format: Format) -> JpegPicture | VipsPicture | HeicPicture:
    if format is Format.HEIC:
        return HeicPicture(data)
    if format is Format.JPEG:
        picture = JpegPicture(data)
        if picture.is_common:
            return picture
        picture.close()
    return VipsPicture(data, format)
