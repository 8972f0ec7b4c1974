"""Malicious files, and a process that measures what they do.

Run as a program, it makes thumbnails of one file after the other, each in a process of its own, and prints a
line of JSON for each: the outcome, and the peak of the memory that it took.
"""

import json
import os
import resource
import struct
import sys
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from shared.failures import PermanentFailure
from tests.handlers.storage.thumbnailer.heic import HEIC, HEIC_COSTLY
from tests.handlers.storage.thumbnailer.pictures import chunk, encode, make, png, quadrants, tiff

MAX_PIXELS = 4_000_000
_EDGE = 2000  # squared, that is just as many as are allowed
_MEMORY_LIMIT = 4 * 2**30  # so that a mistake harms this process and not the machine
_SECONDS = 20  # of the processor, likewise


# --- Headers that promise too much


def with_edges(data: bytes, mark: bytes, offset: int, layout: str, *edges: int) -> bytes:
    """A picture whose header claims other dimensions, wherever they are."""
    changed, start = bytearray(data), 0
    while (start := data.find(mark, start)) >= 0:
        struct.pack_into(layout, changed, start + offset, *edges)
        start += 1
    assert changed != data
    return bytes(changed)


def huge_webp() -> bytes:
    """A lossless WebP of 16,383 x 16,383 pixels."""
    body = b"\x2f" + struct.pack("<I", 16_382 | 16_382 << 14) + bytes(20)
    chunks = b"WEBPVP8L" + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks)) + chunks


HUGE: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: png(60_000, 60_000, depth=8, colour=2, rows=bytes(64)),
    "JPEG": lambda: with_edges(encode(quadrants(), "JPEG"), b"\xff\xc0", 5, ">HH", 65_500, 65_500),
    "progressive JPEG": lambda: with_edges(
        encode(quadrants(), "JPEG", progressive=True), b"\xff\xc2", 5, ">HH", 65_500, 65_500
    ),
    "CMYK JPEG": lambda: with_edges(
        encode(quadrants().convert("CMYK"), "JPEG"), b"\xff\xc0", 5, ">HH", 65_500, 65_500
    ),
    "WebP": huge_webp,
    "GIF": lambda: with_edges(
        with_edges(encode(quadrants(), "GIF"), b"GIF8", 6, "<HH", 65_535, 65_535),
        b"\x2c\0\0\0\0",
        5,
        "<HH",
        65_535,
        65_535,
    ),
    "TIFF": lambda: with_edges(
        with_edges(encode(quadrants(), "TIFF"), b"\0\1\4\0\1\0\0\0", 8, "<I", 60_000),
        b"\1\1\4\0\1\0\0\0",
        8,
        "<I",
        60_000,
    ),
    "AVIF": lambda: with_edges(encode(quadrants(), "AVIF"), b"ispe", 8, ">II", 60_000, 60_000),
    "HEIC": lambda: with_edges(HEIC, b"ispe", 8, ">II", 16_000, 16_000),
}


# --- Small headers, and more than they promise


def zeros(megabytes: int = 100) -> bytes:
    """Zeros, compressed to almost nothing: one block, repeated."""
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    block = packer.compress(bytes(2**20)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = (megabytes * 2**20 % 65_521) << 16 | 1
    return b"\x78\x01" + block * megabytes + b"\x03\0" + struct.pack(">I", checksum)


def packed(kind: bytes) -> bytes:
    """A PNG of 8 x 8 pixels with a compressed chunk that is far larger."""
    bomb = chunk(kind, b"x\0\0" + zeros())
    return png(8, 8, depth=8, colour=0, rows=bytes(72), before=bomb)


def many_scans(count: int) -> bytes:
    """A progressive JPEG that repeats its last scan."""
    data = encode(quadrants(), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + data[-2:]


def deep_tiff() -> bytes:
    """A TIFF with 60,000 channels for each of its pixels."""
    one = tiff(Image.new("L", (8, 8)), bits=8, sample_format=1, photometric=1, pixels=bytes(64))
    return with_edges(one, b"\x15\1\3\0\1\0\0\0", 8, "<I", 60_000)


def deflated_tiff() -> bytes:
    """A TIFF of 8 x 8 pixels whose strip inflates to far more."""
    strip = zeros()
    one = tiff(Image.new("L", (8, 8)), bits=8, sample_format=1, photometric=1, pixels=strip)
    one = one.replace(struct.pack("<HHII", 277, 3, 1, len(strip) // 64), struct.pack("<HHII", 277, 3, 1, 1))
    return one.replace(struct.pack("<HHII", 259, 3, 1, 1), struct.pack("<HHII", 259, 3, 1, 8))


BOMBS: dict[str, Callable[[], bytes]] = {
    "profile": lambda: packed(b"iCCP"),
    "text": lambda: packed(b"zTXt"),
    "pixels": lambda: encode(quadrants(), "PNG").replace(
        b"IEND", b"IEND" + struct.pack(">I", zlib.crc32(b"IEND")) + chunk(b"IDAT", zeros()), 1
    ),
    "strip": deflated_tiff,
    "channels": deep_tiff,
    "scans": lambda: many_scans(600),
    "AVIF that is larger than it says": lambda: with_edges(
        encode(Image.new("RGB", (3000, 3000)), "AVIF", speed=10), b"ispe", 8, ">II", 100, 100
    ),
    "HEIC that is larger than it says": lambda: with_edges(HEIC_COSTLY, b"ispe", 8, ">II", 100, 100),
}


# --- Headers of millions of parts, of which most are empty

_BYTES = 4 * 2**20


def after_start(data: bytes, start: int, part: bytes) -> bytes:
    """A file with as many copies of a part as fit, after its first bytes."""
    return data[:start] + part * (_BYTES // len(part)) + data[start:]


def jpeg_header(part: bytes) -> Callable[[], bytes]:
    """A JPEG whose header consists of copies of a part."""
    return lambda: after_start(encode(quadrants(), "JPEG"), 2, part)


def png_header(kind: bytes, data: bytes = b"") -> Callable[[], bytes]:
    """A PNG whose header consists of copies of a chunk."""
    return lambda: after_start(encode(quadrants(), "PNG"), 33, chunk(kind, data))


def webp(chunks: bytes) -> bytes:
    """A WebP of 200 x 150 pixels with these chunks."""
    body = b"WEBPVP8X" + struct.pack("<IIHBHB", 10, 2, 199, 0, 149, 0) + chunks
    return b"RIFF" + struct.pack("<I", len(body)) + body


def webp_frames(count: int) -> bytes:
    """A WebP of one frame of 200 x 150 pixels, and many of one pixel."""

    def frame(image: Image.Image) -> bytes:
        pixels = encode(image, "WEBP", lossless=True)[12:]
        edges = struct.pack("<HBHB", image.width - 1, 0, image.height - 1, 0)
        return b"ANMF" + struct.pack("<I", 16 + len(pixels)) + bytes(6) + edges + bytes(4) + pixels

    animation = b"ANIM" + struct.pack("<I", 6) + bytes(6)
    return webp(animation + frame(quadrants()) + frame(Image.new("RGB", (1, 1))) * (count - 1))


def gif_frames(count: int) -> bytes:
    """A GIF of one frame of 200 x 150 pixels, and many of one pixel."""
    frame = b"\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return encode(quadrants(), "GIF")[:-1] + frame * (count - 1) + b";"


def gif_blocks() -> bytes:
    """A GIF that begins with a comment in blocks of one byte."""
    data = encode(quadrants(), "GIF")
    start = 13 + 3 * 2 ** ((data[10] & 7) + 1)
    return data[:start] + b"\x21\xfe" + b"\1a" * (_BYTES // 2) + b"\0" + data[start:]


def tiff_pages(count: int) -> bytes:
    """A TIFF whose pages have almost no tags."""
    start = 8
    pages = [struct.pack("<HHHIII", 1, 256, 4, 1, 1, start + 18 * number) for number in range(1, count)]
    pages.append(struct.pack("<HHHIII", 1, 256, 4, 1, 1, 0))
    return struct.pack("<2sHI", b"II", 42, start) + b"".join(pages)


def exif(entries: int) -> bytes:
    """EXIF of many entries."""
    entry = struct.pack("<HHI4s", 0x010F, 2, 4, b"abc")
    return b"II*\0\x08\0\0\0" + struct.pack("<H", entries) + entry * entries + bytes(4)


def boxes(data: bytes, kind: bytes) -> bytes:
    """An AVIF or HEIC that nests boxes as deep as they fit."""
    start = struct.unpack(">I", data[:4])[0]
    return data[:start] + b"".join(struct.pack(">I", _BYTES - 8 * n) + kind for n in range(_BYTES // 8))


# A file, and its outcome.
HEADERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "JPEG of empty segments": (jpeg_header(b"\xff\xe3\0\2"), "TooManyParts"),
    "JPEG of empty tables": (jpeg_header(b"\xff\xc4\0\2"), "TooManyParts"),
    "JPEG of fill bytes": (jpeg_header(b"\xff"), "TooManyParts"),
    "JPEG of stuffed bytes": (jpeg_header(b"\xff\0"), "TooManyParts"),
    "JPEG of markers without length": (jpeg_header(b"\xff\x01"), "TooManyParts"),
    "JPEG of EXIF": (jpeg_header(b"\xff\xe1\xff\xffExif\0\0" + bytes(65_527)), "made"),
    "PNG of empty pixels": (png_header(b"IDAT"), "made"),
    "PNG of unknown chunks": (png_header(b"abCd"), "made"),
    "PNG of texts": (png_header(b"tEXt", b"a\0b"), "made"),
    "PNG of bombs": (png_header(b"iTXt", b"x\0\1\0\0\0" + zeros()), "made"),
    "PNG of one column": (
        lambda: png(1, 4_000_000, depth=8, colour=0, rows=bytes(8_000_000)),
        "TooManyPixels",
    ),
    "EXIF of many entries": (png_header(b"eXIf", exif(65_535)), "made"),
    "WebP of frames": (lambda: webp_frames(101_000), "TooManyParts"),
    "WebP of as many frames as are allowed": (lambda: webp_frames(90_000), "made"),
    "WebP of empty chunks": (lambda: webp(b"abcd\0\0\0\0" * (_BYTES // 8)), "TooManyParts"),
    "GIF of frames": (lambda: gif_frames(500_000), "made"),
    "GIF of blocks": (gif_blocks, "TooManyParts"),
    "TIFF of pages": (lambda: tiff_pages(400_000), "TooManyParts"),
    "AVIF of nested boxes": (lambda: boxes(encode(quadrants(), "AVIF"), b"moov"), "DamagedImage"),
    "HEIC of nested boxes": (lambda: boxes(HEIC, b"moov"), "DamagedImage"),
    "HEIC of empty boxes": (lambda: after_start(HEIC, 24, b"\0\0\0\x08free"), "TruncatedImage"),
    "AVIF of empty boxes": (
        lambda: after_start(encode(quadrants(), "AVIF"), 32, b"\0\0\0\x08free"),
        "TruncatedImage",
    ),
}


# --- As large as is allowed, and as expensive as the format can be


def interlaced(edge: int) -> bytes:
    """A black interlaced PNG of 16 bits and four channels: it cannot be shrunk before all is decoded."""
    rows = 0
    for left, top, across, down in (
        (0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2),
    ):  # fmt: skip
        rows += -(-(edge - top) // down) * (1 + 8 * -(-(edge - left) // across))
    data = bytearray(png(edge, edge, depth=16, colour=6, rows=bytes(rows)))
    data[28] = 1
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


COSTLY: dict[str, Callable[[], bytes]] = {
    "baseline JPEG": lambda: encode(Image.new("RGB", (_EDGE, _EDGE)), "JPEG", subsampling=0),
    "progressive JPEG": lambda: encode(
        Image.new("RGB", (_EDGE, _EDGE)), "JPEG", subsampling=0, progressive=True
    ),
    "progressive CMYK JPEG": lambda: encode(
        Image.new("CMYK", (_EDGE, _EDGE)), "JPEG", subsampling=0, progressive=True
    ),
    "interlaced PNG": lambda: interlaced(_EDGE),
    "16-bit PNG": lambda: png(_EDGE, _EDGE, depth=16, colour=6, rows=bytes((1 + 8 * _EDGE) * _EDGE)),
    "lossless WebP": lambda: encode(
        Image.new("RGBA", (_EDGE, _EDGE), (9, 9, 9, 9)), "WEBP", lossless=True, method=0
    ),
    "GIF": lambda: encode(Image.new("L", (_EDGE, _EDGE)), "GIF"),
    "TIFF of floats in one strip": lambda: tiff(
        Image.new("L", (_EDGE, _EDGE // 4)),
        bits=32,
        sample_format=3,
        photometric=2,
        pixels=bytes(_EDGE * _EDGE // 4 * 12),
    ),
    "AVIF": lambda: encode(
        Image.new("RGBA", (1414, 1414), (9, 9, 9, 9)), "AVIF", subsampling="4:4:4", speed=10
    ),
    "HEIC": lambda: HEIC_COSTLY,
}


# --- The process


@dataclass(frozen=True)
class Measured:
    """The result for a file.

    Args:
        outcome: ``"made"``, the name of the error, or the signal that ended the process.
        detail: The message of the error.
        memory: By how many bytes the peak of the process's memory rose.
        seconds: The time that it needed of the processor.
    """

    outcome: str
    detail: str
    memory: int
    seconds: float


def peak() -> int:
    """The most memory that this process has used, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def main(*files: str) -> None:
    """Make thumbnails of each file in a process of its own, forked when the modules are loaded.

    The end of a file's name is the number of times.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))

    def work(file: str) -> Measured:
        data = Path(file).read_bytes()
        before, start = peak(), time.process_time()
        outcome, detail = "made", ""
        try:
            for _ in range(int(file.rpartition(".")[2])):
                make(data, sizes=(128, 512), quality=80, max_pixels=MAX_PIXELS)
        except PermanentFailure as failure:
            outcome, detail = type(failure).__name__, str(failure)
        return Measured(outcome, detail, peak() - before, time.process_time() - start)

    for file in files:
        process = os.fork()
        if process == 0:
            print(json.dumps(vars(work(file))), flush=True)
            os._exit(0)
        _, status = os.waitpid(process, 0)
        if status:
            print(json.dumps(vars(Measured(f"ended with {status}", "", 0, 0))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
