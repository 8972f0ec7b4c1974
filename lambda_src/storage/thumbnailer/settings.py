"""Environment variables → the settings of the function, read once when it starts.

The construct checks what is allowed; here the text is only converted.
"""

from collections.abc import Mapping
from typing import NamedTuple

from shared.environment import boolean, name, read

Colour = tuple[int, int, int]


class Settings(NamedTuple):
    """How thumbnails are made, and where they go.

    Args:
        destination_bucket: Bucket for the thumbnails.
        table_name: Table for the metadata.
        failure_queue_url: Queue for what failed permanently.
        sizes: Longest edges of the thumbnails, in pixels.
        output_format: ``"webp"`` or ``"jpeg"``, which is Pillow's and the media type's name for it.
        quality: 1 (smallest) to 100 (best).
        output_prefix: Prefix of the thumbnails' keys.
        max_object_size: Larger objects are not read, in bytes.
        max_pixels: Pictures with more pixels are not decoded.
        background: Red, green and blue behind transparent pictures in JPEG thumbnails.
        incomplete_jpeg: Whether a JPEG may end too early.
    """

    destination_bucket: str
    table_name: str
    failure_queue_url: str
    sizes: tuple[int, ...]
    output_format: str
    quality: int
    output_prefix: str
    max_object_size: int
    max_pixels: int
    background: Colour
    incomplete_jpeg: bool

    @property
    def extension(self) -> str:
        """The end of the thumbnails' keys: ``webp`` or ``jpg``."""
        return "jpg" if self.output_format == "jpeg" else self.output_format

    @property
    def content_type(self) -> str:
        """The media type of the thumbnails."""
        return f"image/{self.output_format}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the environment variables.

        Raises:
            ValueError: One is missing or unreadable; the message names it.
        """
        return cls(
            destination_bucket=read(environment, "DESTINATION_BUCKET", name),
            table_name=read(environment, "TABLE_NAME", name),
            failure_queue_url=read(environment, "FAILURE_QUEUE_URL", name),
            sizes=read(environment, "SIZES", lambda sizes: tuple(int(size) for size in sizes.split(","))),
            output_format=read(environment, "OUTPUT_FORMAT", _format),
            quality=read(environment, "QUALITY", int),
            output_prefix=read(environment, "OUTPUT_PREFIX", str),
            max_object_size=read(environment, "MAX_OBJECT_SIZE", int),
            max_pixels=read(environment, "MAX_PIXELS", int),
            background=read(environment, "BACKGROUND", _colour),
            incomplete_jpeg=read(environment, "INCOMPLETE_JPEG", boolean),
        )


def _format(value: str) -> str:
    if value not in ("webp", "jpeg"):
        raise ValueError("must be 'webp' or 'jpeg'")
    return value


def _colour(value: str) -> Colour:
    red, green, blue = bytes.fromhex(value.removeprefix("#"))
    return red, green, blue
