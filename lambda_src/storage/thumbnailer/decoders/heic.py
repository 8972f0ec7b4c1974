"""HEIC, as iPhones write it → libheif with the decoder libde265, both in the wheel of pi-heif.

libvips's wheel has no decoder for HEVC. pi-heif (1.4 MB) is loaded when the first such picture arrives. It
turns the picture as the file says. HEVC is patented: whether you need a licence is your decision.

https://pillow-heif.readthedocs.io/ (pi-heif is the same without encoders)
"""

import re
from typing import Any

from PIL import Image

from shared.failures import PermanentFailure

from .colours import in_srgb
from .errors import DamagedImage, TruncatedImage, UnsupportedFormat

_ENDS_EARLY = re.compile("end of file|insufficient input|cannot read full", re.IGNORECASE)
_MODES = ("L", "LA", "RGB", "RGBA")


class HeicPicture:
    """A HEIC whose header has been read.

    Args:
        data: The bytes of the picture.

    Raises:
        DamagedImage: The header cannot be read.

    Attributes:
        width (int): In pixels, as it is shown.
        height (int): Likewise.
    """

    def __init__(self, data: bytes) -> None:
        import pi_heif  # most pictures are of another format

        try:
            self._file: Any = pi_heif.open_heif(data, convert_hdr_to_8bit=True)
            self.width, self.height = self._file.size  # fails if the file has no picture
        except Exception as error:  # of any type
            raise _damage(error, "the header of the heic cannot be read") from error

    def decode(self, size: tuple[int, int]) -> Image.Image:
        """Return the picture upright, in sRGB, at exactly this size, which must not exceed its own.

        Raises:
            TruncatedImage: It ends too early.
            DamagedImage: It cannot be decoded.
        """
        try:
            image: Image.Image = self._file.to_pillow()
        except MemoryError:
            raise
        except Exception as error:
            raise _damage(error, "the heic cannot be decoded") from error
        if image.mode not in _MODES:
            image = image.convert("RGB")
        small = image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)
        profile = self._file.info.get("icc_profile")
        return in_srgb(small, profile) if profile else small

    def close(self) -> None:
        """Release the picture."""
        self._file = None


def _damage(error: Exception, what: str) -> PermanentFailure:
    why = str(error)[:500]
    if "unsupported" in why.lower():
        return UnsupportedFormat(f"{what}: {why}")
    kind = TruncatedImage if _ENDS_EARLY.search(why) else DamagedImage
    return kind(f"{what}: {why}")
