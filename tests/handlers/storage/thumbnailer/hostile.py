"""Malicious files, and a process that measures what they do.

Run as a program, it makes thumbnails of one file after the other, each in a process of its own, and prints a
line of JSON for each: the outcome, and the peak of the memory that it took.
"""

import json
import os
import resource
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image

from shared.failures import PermanentFailure
from tests.handlers.storage.thumbnailer.pictures import chunk, encode, make, png, quadrants, tiff

MAX_PIXELS = 4_000_000
_EDGE = 2000  # squared, that is just as many as are allowed
_MEMORY_LIMIT = 4 * 2**30  # so that a mistake harms this process and not the machine


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
}


# --- Small headers, and more than they promise


@cache
def zeros(megabytes: int = 100) -> bytes:
    """Zeros, compressed to almost nothing."""
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(megabytes)) + packer.flush()


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
}


# --- The process


@dataclass(frozen=True)
class Measured:
    """The result for a file.

    Args:
        outcome: ``"made"``, the name of the error, or the signal that ended the process.
        detail: The message of the error.
        memory: By how many bytes the peak of the process's memory rose.
    """

    outcome: str
    detail: str
    memory: int


def peak() -> int:
    """The most memory that this process has used, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) * 1024


def main(*files: str) -> None:
    """Make thumbnails of each file in a process of its own, forked when the modules are loaded.

    The end of a file's name is the number of times.
    """
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_LIMIT, _MEMORY_LIMIT))

    def work(file: str) -> Measured:
        data = Path(file).read_bytes()
        before = peak()
        try:
            for _ in range(int(file.rpartition(".")[2])):
                make(data, sizes=(128, 512), quality=80, max_pixels=MAX_PIXELS)
        except PermanentFailure as failure:
            return Measured(type(failure).__name__, str(failure), peak() - before)
        return Measured("made", "", peak() - before)

    for file in files:
        process = os.fork()
        if process == 0:
            print(json.dumps(vars(work(file))), flush=True)
            os._exit(0)
        _, status = os.waitpid(process, 0)
        if status:
            print(json.dumps(vars(Measured(f"ended with {status}", "", 0))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
