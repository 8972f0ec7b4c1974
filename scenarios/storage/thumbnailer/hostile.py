"""Malicious files, generated here so that the repository need not contain them."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from scenarios.storage.thumbnailer.pictures import photograph


@dataclass(frozen=True)
class HostileFile:
    """A file that can never become a thumbnail.

    Args:
        name: Its name in the bucket.
        what: What is wrong with it.
        data: Its bytes.
        error_type: The expected type of the error in the failure message.
    """

    name: str
    what: str
    data: bytes
    error_type: str


def hostile_files() -> list[HostileFile]:
    """Return one of each kind but a too large one, for which the drill lowers the limit."""
    whole = photograph("astronaut-progressive.jpg")
    return [
        HostileFile("empty.jpg", "0 bytes", b"", "EmptyObject"),
        HostileFile("letter.jpg", "a text named .jpg", b"Dear Sir or Madam,\n" * 40, "NotAnImage"),
        HostileFile("cut off.jpg", "the first third of a JPEG", whole[: len(whole) // 3], "TruncatedImage"),
        HostileFile("bomb.png", "a PNG of 60,000 x 60,000 pixels in 70 bytes", bomb(60_000), "TooManyPixels"),
    ]


def bomb(edge: int) -> bytes:
    """Return a well-formed PNG whose header claims edge x edge pixels and whose body is almost empty."""
    header = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(64))
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
