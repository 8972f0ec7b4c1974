"""An embedded profile → sRGB, for the decoders that do not convert colours themselves."""

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform


def in_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Convert an image from its embedded profile to sRGB; unchanged if the profile is unusable."""
    transform = _transform(profile, image.mode)
    return transform.apply(image) if transform else image


@lru_cache(maxsize=2)  # pictures from one camera share their profile
def _transform(profile: bytes, mode: str) -> "ImageCmsTransform | None":
    """Return the transform from an embedded profile to sRGB; None if the profile is unusable."""
    from PIL import ImageCms  # most pictures have no profile

    try:
        return ImageCms.buildTransform(
            ImageCms.ImageCmsProfile(BytesIO(profile)),
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, OSError):
        return None
