"""Pictures for the tests: small, made here, and such that a wrong orientation or colour shows."""

import io
import struct
import zlib
from typing import Any

from PIL import Image, ImageStat

from scenarios.storage.thumbnailer import pictures as photographs
from storage.thumbnailer.pictures import Thumbnails, make_thumbnails
from storage.thumbnailer.settings import Colour, Settings
from tests.handlers.storage.thumbnailer.world import ENVIRONMENT

RED, GREEN, BLUE, YELLOW = (220, 40, 30), (30, 180, 60), (40, 60, 200), (230, 210, 50)


def quadrants(width: int = 200, height: int = 150) -> Image.Image:
    """A colour in each corner: red, green / blue, yellow. Shows which way up it is, and its colours."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(YELLOW, (width // 2, height // 2, width, height))
    return image


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    """Encode an image with Pillow."""
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, depth: int, colour: int, rows: bytes, before: bytes = b"") -> bytes:
    """A PNG whose header fields need not be true."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + before
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def png_16_bit(image: Image.Image) -> bytes:
    """A PNG of 16 bits per channel; the lower 8 are noise, so that mistaking them for the upper shows."""
    channels = len(image.getbands())
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    stride = image.width * channels
    raw = image.tobytes()
    rows = bytearray()
    for top in range(0, len(raw), stride):
        rows += b"\0"
        for place, value in enumerate(raw[top : top + stride]):
            rows += bytes((value, place * 97 % 256))
    return png(image.width, image.height, depth=16, colour=colour, rows=bytes(rows))


def tiff(image: Image.Image, *, bits: int, sample_format: int, photometric: int, pixels: bytes) -> bytes:
    """An uncompressed little-endian TIFF in one strip, for variants that Pillow does not write."""
    channels = len(pixels) * 8 // bits // (image.width * image.height)
    values = struct.pack(f"<{channels}H", *[bits] * channels)
    formats = struct.pack(f"<{channels}H", *[sample_format] * channels)
    start = 8
    extra = start + len(pixels)
    tags = [
        (256, 4, 1, image.width),
        (257, 4, 1, image.height),
        (258, 3, channels, extra if channels > 2 else bits),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, start),
        (277, 3, 1, channels),
        (278, 4, 1, image.height),
        (279, 4, 1, len(pixels)),
        (339, 3, channels, extra + len(values) if channels > 2 else sample_format),
    ]
    directory = extra + len(values) + len(formats)
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    header = struct.pack("<2sHI", b"II", 42, directory)
    return header + pixels + values + formats + struct.pack("<H", len(tags)) + entries + bytes(4)


def wide_gamut() -> bytes:
    """A profile whose colours are far from those of sRGB."""
    profile = Image.open(io.BytesIO(photographs.photograph("coffee-wide-gamut.jpg"))).info["icc_profile"]
    assert isinstance(profile, bytes)
    return profile


def make(
    data: bytes,
    *,
    sizes: tuple[int, ...] = (100,),
    format: str = "webp",
    quality: int = 90,
    background: Colour = (255, 255, 255),
    max_pixels: int = 1_000_000,
    incomplete_jpeg: bool = False,
) -> Thumbnails:
    """Let the handler make thumbnails of a picture."""
    settings = Settings.from_environment(ENVIRONMENT)._replace(
        sizes=sizes,
        output_format=format,
        quality=quality,
        background=background,
        max_pixels=max_pixels,
        incomplete_jpeg=incomplete_jpeg,
    )
    return make_thumbnails(data, settings)


def thumbnail(data: bytes, **options: Any) -> Image.Image:
    """The only thumbnail that the handler makes of a picture."""
    [only] = make(data, **options).thumbnails
    image = Image.open(io.BytesIO(only.data))
    assert image.size == (only.width, only.height)
    return image


def corners(image: Image.Image) -> list[Colour]:
    """The colours in the middle of the quarters: top left, top right, bottom left, bottom right."""
    width, height = image.size
    found = []
    for top in (0, height // 2):
        for left in (0, width // 2):
            box = (left + width // 8, top + height // 8, left + 3 * width // 8, top + 3 * height // 8)
            found.append(tuple(round(value) for value in ImageStat.Stat(image.convert("RGB").crop(box)).mean))
    return found  # type: ignore[return-value] # three bands


def close(found: list[Colour], expected: list[Colour], tolerance: int = 10) -> bool:
    """Whether colours are about those."""
    return all(
        abs(a - b) <= tolerance
        for one, other in zip(found, expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )
