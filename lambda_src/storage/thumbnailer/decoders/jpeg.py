"""JPEG → Pillow, decoded at an eighth, a quarter or half of its size, whichever is just large enough.

libjpeg-turbo's scaled decoding without colour conversion, followed by one bicubic step on a small picture,
was the fastest way that was measured (``benchmarks/README.md``), and needs memory for the small picture only.

A progressive JPEG could be cut off after its first scans, and be several times as fast at an eighth of its
size. But libjpeg then smooths the picture as if it were still loading, and subsampled colour loses detail:
the thumbnail would look different.
"""

import warnings
from io import BytesIO

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from .colours import in_srgb
from .errors import DamagedImage, TruncatedImage
from .xmp import orientation_in

# Pillow warns of broken EXIF on stderr as plain text. It is common, and no reason to refuse a picture.
warnings.filterwarnings("ignore", module=r"PIL\.")

# Pillow's own limit is global; `decode` checks ours for each picture.
Image.MAX_IMAGE_PIXELS = None

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class JpegPicture:
    """A JPEG whose header has been read.

    Args:
        data: The bytes of the picture.

    Raises:
        DamagedImage: The header cannot be read.

    Attributes:
        width (int): In pixels, after the EXIF orientation is applied.
        height (int): Likewise.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        try:
            self._file = JpegImageFile(BytesIO(data))
        except Exception as error:  # Pillow's parsers raise exceptions of any type
            kind = DamagedImage if b"\xff\xda" in data else TruncatedImage
            raise kind(f"the header of the jpeg cannot be read: {error}") from error
        self._orientation = _orientation(self._file)
        self.width, self.height = self._as_stored(self._file.size)

    @property
    def is_common(self) -> bool:
        """Whether the picture is grey or YCbCr, as photographs are. RGB and CMYK are rare in JPEG."""
        if self._file.mode == "CMYK" or self._file.info.get("adobe_transform") == 0:
            return False
        return bytes(component[0] for component in self._file.layer) != b"RGB"

    def decode(self, size: tuple[int, int]) -> Image.Image:
        """Return the picture upright, in sRGB, at exactly this size, which must not exceed its own.

        Raises:
            TruncatedImage: It ends too early.
            DamagedImage: It cannot be decoded.
        """
        stored = self._as_stored(size)
        profile = self._file.info.get("icc_profile")
        drafted = self._file.draft("RGB" if profile else "YCbCr", stored)
        # The whole file in one block: it is in memory already, and pieces would be copied.
        self._file.decodermaxblock = len(self._data)
        try:
            small = self._file.resize(stored, Image.Resampling.BICUBIC, box=drafted[1] if drafted else None)
        except MemoryError:
            raise
        except Exception as error:
            kind = TruncatedImage if "truncated" in str(error) else DamagedImage
            raise kind(f"the jpeg cannot be decoded: {error}") from error
        if profile:
            small = in_srgb(small, profile)
        turn = _TURNS.get(self._orientation)
        return small if turn is None else small.transpose(turn)

    def close(self) -> None:
        """Release the bytes."""
        self._file.close()

    def _as_stored(self, size: tuple[int, int]) -> tuple[int, int]:
        """Convert a size between how the file stores it and how the picture is shown; works both ways."""
        return size if self._orientation < 5 else (size[1], size[0])


def _orientation(file: JpegImageFile) -> int:
    if "exif" not in file.info and "xmp" not in file.info:
        return 1
    try:
        orientation = file.getexif().get(_ORIENTATION)
    except Exception:  # broken EXIF
        orientation = None
    if orientation is None:
        return orientation_in(file.info.get("xmp", b""))
    return orientation if orientation in _TURNS else 1
