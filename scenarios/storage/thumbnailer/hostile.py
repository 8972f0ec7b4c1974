"""Files that no thumbnailer should fall for, made here rather than kept in the repository."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from scenarios.storage.pictures import photograph


@dataclass(frozen=True)
class HostileFile:
    """A file that can never become a thumbnail.

    Args:
        name: How it is called.
        what: What is wrong with it.
        data: Its bytes.
        error_type: The type of the error in the failure record.
    """

    name: str
    what: str
    data: bytes
    error_type: str


def hostile_files() -> list[HostileFile]:
    """One of each kind; one over the size limit would take long to upload, so the drill lowers the limit."""
    whole = photograph("astronaut-progressive.jpg")
    return [
        HostileFile("empty.jpg", "0 bytes", b"", "EmptyObject"),
        HostileFile("letter.jpg", "a text that is called .jpg", b"Dear Sir or Madam,\n" * 40, "NotAnImage"),
        HostileFile("cut off.jpg", "the first third of a JPEG", whole[: len(whole) // 3], "TruncatedImage"),
        HostileFile("bomb.png", "a PNG of 60,000 x 60,000 pixels in 70 bytes", bomb(60_000), "TooManyPixels"),
    ]


def bomb(edge: int) -> bytes:
    """A well-formed PNG whose header promises edge x edge pixels and whose body is next to nothing."""
    header = struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(64))
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
