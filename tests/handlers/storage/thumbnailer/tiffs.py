"""TIFFs of every kind, written tag by tag: Pillow writes only a few of them."""

import io
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL import Image, ImageCms

from tests.handlers.storage.thumbnailer.pictures import quadrants

WIDTH, HEIGHT = 64, 48
PICTURE = quadrants(WIDTH, HEIGHT)
GREY = PICTURE.convert("L")
RGB, GREYS = PICTURE.tobytes(), GREY.tobytes()

BYTE, SHORT, LONG = 1, 3, 4
_LAYOUTS = {BYTE: "B", SHORT: "H", LONG: "I"}
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
LINEAR = [
    value / 255 / 12.92 if value < 11 else ((value / 255 + 0.055) / 1.055) ** 2.4 for value in range(256)
]


@dataclass
class Page:
    """A picture in a TIFF.

    Args:
        pixels: Its strips or tiles, one after the other.
        photometric: What its channels are.
        bits: The depth of each channel.
        size: Width and height.
        parts: The number of strips or tiles, of equal length.
        tags: Further tags, with their types and values.
        children: The pictures in its SubIFDs.
    """

    pixels: bytes
    photometric: int = 2
    bits: Sequence[int] = (8, 8, 8)
    size: tuple[int, int] = (WIDTH, HEIGHT)
    parts: int = 1
    tags: Mapping[int, tuple[int, Sequence[int]]] = field(default_factory=dict)
    children: Sequence["Page"] = ()


def tiff(*pages: Page, order: str = "<") -> bytes:
    """A TIFF with these pages."""
    file = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))
    link = 4
    for page in pages:
        offset = _write(file, page, order)
        struct.pack_into(order + "I", file, link, offset)
        link = len(file) - 4
    return bytes(file)


def _write(file: bytearray, page: Page, order: str) -> int:
    children = [_write(file, child, order) for child in page.children]
    start, length = len(file), len(page.pixels) // page.parts
    file += page.pixels
    offsets = (LONG, [start + number * length for number in range(page.parts)])
    is_tiled = 322 in page.tags
    tags: dict[int, tuple[int, Sequence[int]]] = {
        256: (LONG, [page.size[0]]),
        257: (LONG, [page.size[1]]),
        258: (SHORT, page.bits),
        259: (SHORT, [1]),
        262: (SHORT, [page.photometric]),
        277: (SHORT, [len(page.bits)]),
        278: (LONG, [page.size[1]]),
        324 if is_tiled else 273: offsets,
        325 if is_tiled else 279: (LONG, [length] * page.parts),
        **page.tags,
    }
    if children:
        tags[330] = (LONG, children)
    entries = b""
    for tag, (kind, values) in sorted(tags.items()):
        value = struct.pack(order + _LAYOUTS[kind] * len(values), *values)
        if len(value) > 4:
            file += value
            value = struct.pack(order + "I", len(file) - len(value))
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + value.ljust(4, b"\0")
    file += struct.pack(order + "H", len(tags)) + entries + bytes(4)
    return len(file) - 6 - len(entries)


def packed(layout: str, values: Iterable[float]) -> bytes:
    """Numbers as little-endian binary."""
    numbers = list(values)
    return struct.pack(f"<{len(numbers)}{layout}", *numbers)


def with_channels(colours: int, pixels: bytes, *more: int) -> bytes:
    """Pixels with further channels."""
    return b"".join(pixels[at : at + colours] + bytes(more) for at in range(0, len(pixels), colours))


def floats(layout: str, values: bytes, channels: int, photometric: int, **tags: Any) -> bytes:
    """A TIFF of floats."""
    bits = struct.calcsize(layout) * 8
    linear = [value / 255 for value in values] if "profile" in tags else [LINEAR[value] for value in values]
    more = {34675: (BYTE, list(SRGB))} if "profile" in tags else {}
    page_tags = {339: (SHORT, [3] * channels)} | more
    return tiff(Page(packed(layout, linear), photometric, (bits,) * channels, tags=page_tags))


def extra(kinds: Sequence[int]) -> dict[int, tuple[int, Sequence[int]]]:
    """The tag for further channels: 0 unspecified, 1 associated alpha, 2 unassociated alpha."""
    return {338: (SHORT, kinds)}


def tiles(*planes: Image.Image) -> bytes:
    """The left and the right half of each plane."""
    half = WIDTH // 2
    return b"".join(
        plane.crop((left, 0, left + half, HEIGHT)).tobytes() for plane in planes for left in (0, half)
    )


TILED: dict[int, tuple[int, Sequence[int]]] = {322: (LONG, [WIDTH // 2]), 323: (LONG, [HEIGHT])}
PLANAR: dict[int, tuple[int, Sequence[int]]] = {284: (SHORT, [2])}


def subsampled() -> bytes:
    """Luma and chroma, one value of chroma for four pixels."""
    luma, blue, red = (plane.load() for plane in PICTURE.convert("YCbCr").split())
    assert luma is not None
    assert blue is not None
    assert red is not None
    found = []
    for y in range(0, HEIGHT, 2):
        for x in range(0, WIDTH, 2):
            found += [luma[x, y], luma[x + 1, y], luma[x, y + 1], luma[x + 1, y + 1], blue[x, y], red[x, y]]
    return bytes(found)  # type: ignore[arg-type] # planes of one channel


def lab(mode: str) -> bytes:
    """The picture in CIE L*a*b*, a and b signed, 8 or 16 bits."""
    image = ImageCms.profileToProfile(
        PICTURE, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert image is not None
    pixels = image.tobytes()
    if mode == "8":
        return pixels
    signed = [value - 256 if value > 127 else value for value in pixels]
    return b"".join(
        struct.pack("<Hhh", pixels[at] * 257, signed[at + 1] * 256, signed[at + 2] * 256)
        for at in range(0, len(pixels), 3)
    )


def nibbles(values: Sequence[int]) -> bytes:
    """Pairs of values of 4 bits."""
    return bytes(one << 4 | other for one, other in zip(values[::2], values[1::2], strict=True))


def palette(bits: int) -> bytes:
    """A TIFF with a palette of 16 colours."""
    image = PICTURE.quantize(16)
    colours = (image.getpalette() or [])[:48] + [0] * 48
    numbers = range(2**bits)
    table = [colours[3 * one + channel] * 257 if one < 16 else 0 for channel in range(3) for one in numbers]
    pixels = image.tobytes() if bits == 8 else nibbles(image.tobytes())
    return tiff(Page(pixels, 3, (bits,), tags={320: (SHORT, table)}))


def preview(**tags: int) -> Page:
    """A small picture upside down, so that it is not mistaken for the real one."""
    small = PICTURE.resize((16, 12)).rotate(180)
    found = {int(tag[1:]): (SHORT, [kind]) for tag, kind in tags.items()}
    return Page(small.tobytes(), size=small.size, tags=found)


def compressed(kind: str, mode: str = "RGB") -> bytes:
    """A TIFF as Pillow writes it."""
    file = io.BytesIO()
    PICTURE.convert(mode).save(file, "TIFF", compression=kind)
    return file.getvalue()
