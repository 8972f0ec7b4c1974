"""The settings of the function, from its environment variables, checked once when it starts."""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from shared.environment import name, read

_COLOUR = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")

# A key has 1,024 bytes; what is left must hold the hash and the size that long keys are shortened to.
MAX_PREFIX_BYTES = 900


class Settings(NamedTuple):
    """How thumbnails are made, and where they and everything else go.

    Args:
        destination_bucket: Bucket for the thumbnails.
        table_name: Table for the metadata.
        failure_queue_url: Queue for what failed for good.
        sizes: Longest edges of the thumbnails, in pixels.
        output_format: ``"webp"`` or ``"jpeg"``.
        quality: 1 (smallest) to 100 (best).
        output_prefix: What the keys of thumbnails start with.
        max_object_size: Larger objects are not read, in bytes.
        max_pixels: Pictures with more are not decoded.
        background: Red, green and blue behind transparent pictures in JPEG thumbnails.
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
    background: tuple[int, int, int]

    @property
    def extension(self) -> str:
        """The end of the keys of thumbnails: ``webp`` or ``jpg``."""
        return {"webp": "webp", "jpeg": "jpg"}[self.output_format]

    @property
    def content_type(self) -> str:
        """The media type of the thumbnails."""
        return f"image/{self.output_format}"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Read and check the environment variables.

        Raises:
            ValueError: One is missing or not allowed; the message says which, and what is allowed.
        """
        return cls(
            destination_bucket=read(environment, "DESTINATION_BUCKET", name),
            table_name=read(environment, "TABLE_NAME", name),
            failure_queue_url=read(environment, "FAILURE_QUEUE_URL", name),
            sizes=read(environment, "SIZES", _sizes),
            output_format=read(environment, "OUTPUT_FORMAT", _format),
            quality=read(environment, "QUALITY", _whole_number(1, 100)),
            output_prefix=read(environment, "OUTPUT_PREFIX", _prefix),
            max_object_size=read(environment, "MAX_OBJECT_SIZE", _whole_number(1)),
            max_pixels=read(environment, "MAX_PIXELS", _whole_number(1)),
            background=read(environment, "BACKGROUND", _colour),
        )


def _whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch(r"[0-9]{1,18}", value) or not least <= int(value) <= (most or int(value)):
            allowed = f"{least} to {most:,}" if most else f"{least} or more"
            raise ValueError(f"give a whole number, {allowed}")
        return int(value)

    return parse


def _sizes(value: str) -> tuple[int, ...]:
    edge = _whole_number(1, 16_383)  # what WebP allows
    try:
        sizes = tuple(edge(part.strip()) for part in value.split(","))
    except ValueError:
        raise ValueError("give whole numbers of pixels, 1 to 16,383, as in '128,256,512'") from None
    if len(set(sizes)) != len(sizes):
        raise ValueError("a size stands there twice; name each once")
    return sizes


def _format(value: str) -> str:
    if value not in ("webp", "jpeg"):
        raise ValueError("give 'webp' or 'jpeg'")
    return value


def _prefix(value: str) -> str:
    if len(value.encode()) > MAX_PREFIX_BYTES:
        raise ValueError(f"{len(value.encode()):,} bytes: at most {MAX_PREFIX_BYTES} are allowed")
    return value


def _colour(value: str) -> tuple[int, int, int]:
    match = _COLOUR.fullmatch(value)
    if not match:
        raise ValueError("give a colour as in '#ffffff'")
    red, green, blue = (int(part, 16) for part in match.groups())
    return red, green, blue
