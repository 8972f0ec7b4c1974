"""The structure of a file → what is decoded of it, or why it is refused: cost, or a variant of its format.

Decoders read everything before the first pixel, and some do so slowly: a file of a few megabytes that
consists of millions of empty parts keeps them busy for minutes or fills the memory. Each format is therefore
walked through once, up to a number of parts that no real picture has. Only the first frame of an animation is
handed on. PNG and AVIF need no such limit: libpng's and libheif's own limits were found to be enough.
"""

import re
import zlib
from typing import NamedTuple

from .errors import TooManyParts, TooManyScans, TruncatedImage, UnsupportedFormat
from .formats import Format

MAX_SEGMENTS = 2_000  # JPEG; a profile may have 255, extended XMP some hundreds
MAX_HEADER_BYTES = 16 * 2**20  # JPEG; Pillow copies repeated EXIF again and again
_MAX_JUNK = 64 * 1024  # JPEG; Pillow reads what is between two segments byte by byte
MAX_CHUNKS = 100_000  # WebP; an animation has at least one for each frame
MAX_BLOCKS = 1_000_000  # GIF; one for each 255 bytes of pixels

# Encoders write about ten scans, the most elaborate scripts some dozens. Each scan passes over the whole
# picture, so the larger it is, the fewer are allowed: a second's work.
MAX_SCANS = 500
_ALWAYS_ALLOWED_SCANS = 20
_SCANNED_PIXELS = 1_000_000_000

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_START_OF_FRAME = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
_SUPPORTED_FRAMES = (0xC0, 0xC1, 0xC2, 0xC9, 0xCA)  # baseline, extended, progressive; the last two arithmetic
_START_OF_SCAN, _END = 0xDA, 0xD9
_WITHOUT_LENGTH = (0x01, 0xD8)


def decodable(data: bytes, format: Format) -> bytes:
    """Return the part of a file that is decoded.

    Raises:
        TooManyParts: Its header would cost too much.
        TooManyScans: It is a progressive JPEG that would keep the decoder busy.
        UnsupportedFormat: It is a variant that is not decoded.
        TruncatedImage: It ends too early.
    """
    if format is Format.JPEG:
        _check_jpeg(data)
    elif format is Format.PNG and data[12:16] == b"CgBI":
        raise UnsupportedFormat("the png is one of Xcode's (CgBI), which only Apple's libraries decode")
    elif format is Format.WEBP:
        return _first_frame_of_webp(data)
    elif format is Format.GIF:
        return _first_frame_of_gif(data)
    return data


def _check_jpeg(data: bytes) -> None:
    position, segments, junk, scans = 2, 0, 0, 0
    frame, allowed = _Frame(b"", 0, 0), MAX_SCANS
    while match := _MARKER.search(data, position):
        marker, start = data[match.end() - 1], match.end()
        if not scans:
            junk += match.start() - position
        segments += 1
        if segments - scans > MAX_SEGMENTS:
            raise TooManyParts(f"the jpeg has more than {MAX_SEGMENTS:,} segments")
        if junk > _MAX_JUNK:
            raise TooManyParts(f"the jpeg has more than {_MAX_JUNK:,} bytes between its segments")
        if marker == _END:
            return
        if marker in _WITHOUT_LENGTH:
            position = start
            continue
        position = start + max(2, _number(data, start))
        if marker in _START_OF_FRAME:
            frame = _check_frame(data, marker, start)
            allowed = min(MAX_SCANS, max(_ALWAYS_ALLOWED_SCANS, _SCANNED_PIXELS // max(1, frame.pixels)))
        elif marker == _START_OF_SCAN:
            scans += 1
            if scans == 1 and not frame.is_progressive and data[start + 2 : start + 3] == frame.components:
                return  # there cannot be a second scan, so most pictures are not searched
            if scans > allowed:
                raise TooManyScans(f"the jpeg has more than {allowed} scans, which is too many for its size")
        if not scans and position > MAX_HEADER_BYTES:
            raise TooManyParts(f"the jpeg has a header of more than {MAX_HEADER_BYTES:,} bytes")


class _Frame(NamedTuple):
    components: bytes
    pixels: int
    marker: int

    @property
    def is_progressive(self) -> bool:
        return self.marker in (0xC2, 0xCA)


def _check_frame(data: bytes, marker: int, start: int) -> _Frame:
    if marker not in _SUPPORTED_FRAMES:
        kind = {0xC3: "lossless", 0xF7: "JPEG-LS"}.get(marker, "hierarchical or lossless")
        raise UnsupportedFormat(f"the jpeg is {kind}, which is not supported")
    precision = data[start + 2 : start + 3]
    if precision not in (b"\x08", b""):
        raise UnsupportedFormat(f"the jpeg has samples of {precision[0]} bits; only 8 are supported")
    components = data[start + 7 : start + 8]
    if components not in (b"\1", b"\3", b"\4", b""):
        raise UnsupportedFormat(f"the jpeg has {components[0]} channels; only 1, 3 and 4 are supported")
    pixels = _number(data, start + 3) * _number(data, start + 5)
    return _Frame(components, pixels, marker)


def _number(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 2], "big")


def _first_frame_of_webp(data: bytes) -> bytes:
    end = int.from_bytes(data[4:8], "little") + 8
    if end > len(data):
        raise TruncatedImage(f"the webp has {len(data):,} bytes of {end:,}")
    parts, frames, chunks, position = [b"WEBP"], 0, 0, 12
    while position + 8 <= end:
        chunks += 1
        if chunks > MAX_CHUNKS:
            raise TooManyParts(f"the webp has more than {MAX_CHUNKS:,} chunks")
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        following = position + 8 + length + length % 2
        is_frame = data[position : position + 4] == b"ANMF"
        frames += is_frame
        if not is_frame or frames == 1:
            parts.append(data[position:following])
        position = following
    if frames < 2:
        return data
    first = b"".join(parts)
    return b"RIFF" + len(first).to_bytes(4, "little") + first


def _first_frame_of_gif(data: bytes) -> bytes:
    def after_colours(position: int) -> int:
        flags = data[position]
        return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0

    blocks, position = 0, 13
    try:
        position += after_colours(10)
        while data[position] in b"\x21\x2c":
            is_frame = data[position] == 0x2C
            position += 11 + after_colours(position + 9) if is_frame else 2
            while length := data[position]:
                blocks += 1
                position += 1 + length
                if blocks > MAX_BLOCKS:
                    raise TooManyParts(
                        f"the gif has more than {MAX_BLOCKS:,} blocks before its first frame ends"
                    )
            blocks += 1
            position += 1
            if is_frame:
                return data[:position] + b";" if len(data) > position + 1 else data
    except IndexError:  # it is cut off, as the decoder will say
        pass
    return data


def damage_of_png(data: bytes) -> str:
    """Return what is wrong with a PNG that libvips refused."""
    position = 8
    for _ in range(MAX_CHUNKS):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            return f"the chunk {kind.decode('latin-1')!r} goes beyond the end of the file"
        if zlib.crc32(data[position + 4 : end - 4]).to_bytes(4, "big") != data[end - 4 : end]:
            return f"the checksum of the chunk {kind.decode('latin-1')!r} is wrong"
        if kind == b"IEND":
            break
        position = end
    return "its header or its compressed pixels break the rules of the format"
