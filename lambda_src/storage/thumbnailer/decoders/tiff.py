"""The directory of a TIFF → which of its pictures is shown, and what its channels mean.

libvips shows the first picture, and takes every channel for a colour. A TIFF may begin with a preview or a
mask, and have channels that mean something else or nothing. What libvips would show with wrong colours is
refused here with the reason.

TIFF 6.0: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf
"""

import struct
from typing import Any, NamedTuple, TypeAlias

from .errors import TooManyParts, TruncatedImage, UnsupportedFormat

# A scanned book has some thousand pages. libvips reads the directories of all of them.
MAX_PAGES = 10_000
_MAX_ENTRIES = 300_000
_MAX_CHANNELS = 8  # memory grows with each of them; a TIFF may claim thousands

_TAGS = {
    254: "subfile_type",
    255: "old_subfile_type",
    258: "bits",
    259: "compression",
    262: "photometric",
    274: "orientation",
    277: "channels",
    284: "planar",
    322: "tile_width",
    330: "children",
    332: "ink_set",
    338: "extra",
    339: "sample_format",
    529: "luma",
    530: "subsampling",
    532: "reference",
}
_TYPES = {1: "B", 3: "H", 4: "I", 5: "II", 13: "I", 16: "Q", 18: "Q"}
_RATIONAL = 5
_MAX_VALUES = 16  # of a tag; those that are read have fewer

# Photometric interpretation → number of colours, and the name for the error.
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3, 32844: 1, 32845: 3}
_NAMES = {
    4: "only a transparency mask",
    9: "ICC L*a*b* colours",
    10: "ITU L*a*b* colours",
    32803: "the unprocessed data of a camera",
    34892: "the unprocessed data of a camera",
}
_WHITE_IS_ZERO, _PALETTE, _CMYK, _YCBCR, _CIELAB = 0, 3, 5, 6, 8
_JPEG = 7
_LUMA, _REFERENCE = (0.299, 0.587, 0.114), (0.0, 255.0, 128.0, 255.0, 128.0, 255.0)  # those of JPEG
_DEPTHS = {1: (1, 2, 4, 8, 16), 3: (16, 32)}  # bits of unsigned integers and of floats


class Tiff(NamedTuple):
    """The picture in a TIFF that is shown.

    Args:
        page: Its number in the chain of directories.
        child: Its number among the children of that page; None if it is the page itself.
        colours: Number of channels that are colours; None if libvips knows.
        alpha: Which channel is transparency; None if none is.
        is_float: Whether its values are floats, 0 to 1.
        is_lab: Whether its colours are CIE L*a*b*.
        is_ycbcr: Whether libvips returns its channels as they are, luma and chroma.
        is_turned: Whether it has an orientation; libvips gives every TIFF one.
    """

    page: int
    child: int | None
    colours: int | None
    alpha: int | None
    is_float: bool
    is_lab: bool
    is_ycbcr: bool
    is_turned: bool


Directory: TypeAlias = dict[str, tuple[Any, ...]]


def read_tiff(data: bytes) -> Tiff:
    """Find the picture that is shown.

    Raises:
        TruncatedImage: A directory is behind the end of the file.
        TooManyParts: It has too many pages.
        UnsupportedFormat: libvips cannot decode it, or would show it with wrong colours.
    """
    reader = _Reader(data)
    pages = reader.chain()
    page = next((number for number, one in enumerate(pages) if not _is_derived(one)), 0)
    found, child = pages[page], None
    if _is_derived(found):  # the pictures may be children of the preview, as cameras write them
        for number, offset in enumerate(found.get("children", ())):
            directory, _ = reader.directory(offset)
            if not _is_derived(directory):
                found, child = directory, number
                break
    return _describe(found, page, child)


def _is_derived(directory: Directory) -> bool:
    """Whether it is a smaller version of another picture, or a mask for one."""
    (flags,) = directory.get("subfile_type", (0,))[:1]
    return bool(flags & 0b101) or directory.get("old_subfile_type") == (2,)


def _describe(directory: Directory, page: int, child: int | None) -> Tiff:
    (photometric,) = directory.get("photometric", (1,))[:1]
    (channels,) = directory.get("channels", (1,))[:1]
    (sample_format,) = directory.get("sample_format", (1,))[:1]
    depths = set(directory.get("bits", (1,)))
    compression, planar = directory.get("compression", (1,)), directory.get("planar", (1,))
    colours = _COLOURS.get(photometric)

    def refuse(what: str) -> UnsupportedFormat:
        return UnsupportedFormat(f"the tiff has {what}, which is not supported")

    if colours is None:
        raise refuse(_NAMES.get(photometric, f"the photometric interpretation {photometric}"))
    if channels > _MAX_CHANNELS:
        raise refuse(f"{channels:,} channels")
    if len(depths) > 1:
        raise refuse("channels of different depths")
    if photometric < 32844 and not depths <= set(_DEPTHS.get(sample_format, ())):
        kind = {1: "integer", 2: "signed integer", 3: "float"}.get(sample_format, "complex or undefined")
        raise refuse(f"{kind} samples of {min(depths)} bits")
    if photometric == _WHITE_IS_ZERO and sample_format == 3:
        raise refuse("float samples where 0 is white")
    if photometric == _CIELAB and depths != {16}:
        raise refuse("CIE L*a*b* samples of 8 bits")
    if photometric == _CMYK and directory.get("ink_set", (1,)) != (1,):
        raise refuse("inks other than cyan, magenta, yellow and black")
    if photometric == _PALETTE and channels != 1:
        raise refuse("a palette and further channels")
    if planar == (2,) and "tile_width" in directory:
        raise refuse("tiles of separate planes")
    is_ycbcr = photometric == _YCBCR and compression != (_JPEG,)
    if is_ycbcr and (
        planar == (2,)
        or depths != {8}
        or channels != colours
        or directory.get("luma", _LUMA) != _LUMA
        or directory.get("reference", _REFERENCE) != _REFERENCE
    ):
        raise refuse("a variant of YCbCr")

    extra = directory.get("extra", ())[: max(0, channels - colours)]
    alpha = next((colours + number for number, kind in enumerate(extra) if kind in (1, 2)), None)
    return Tiff(
        page=page,
        child=child,
        colours=None if photometric in (_PALETTE, _YCBCR) or channels <= colours else colours,
        alpha=alpha,
        is_float=sample_format == 3 and photometric in (1, 2),
        is_lab=photometric == _CIELAB,
        is_ycbcr=is_ycbcr and directory.get("subsampling", (2, 2)) == (1, 1),
        is_turned="orientation" in directory,
    )


class _Reader:
    """Reads directories of a TIFF or BigTIFF.

    Args:
        data: The bytes of its file.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._order = "<" if data[:2] == b"II" else ">"
        self._entries = 0
        self._big = data[2:4] in (b"+\0", b"\0+")

    def chain(self) -> list[Directory]:
        """Return the directories of all pages."""
        (offset,) = self._unpack("Q" if self._big else "I", 8 if self._big else 4)
        pages: list[Directory] = []
        seen = set()
        while offset and offset not in seen:
            seen.add(offset)
            if len(seen) > MAX_PAGES:
                raise TooManyParts(f"the tiff has more than {MAX_PAGES:,} pages")
            directory, offset = self.directory(offset)
            pages.append(directory)
        if not pages:
            raise TruncatedImage("the tiff has no directory")
        return pages

    def directory(self, offset: int) -> tuple[Directory, int]:
        """Return the tags that are needed of a directory, and the offset of the next one."""
        count, size, entry = ("Q", 8, "HHQ") if self._big else ("H", 2, "HHI")
        (entries,) = self._unpack(count, offset)
        found: Directory = {}
        start, step = offset + size, 20 if self._big else 12
        self._entries += entries
        if self._entries > _MAX_ENTRIES:
            raise TooManyParts(f"the tiff has more than {_MAX_ENTRIES:,} tags")
        for number in range(entries):
            tag, kind, length = self._unpack(entry, start + number * step)
            if tag in _TAGS and kind in _TYPES:
                layout = self._order + _TYPES[kind] * min(length, _MAX_VALUES)
                value = start + number * step + (12 if self._big else 8)
                if struct.calcsize(layout) > (8 if self._big else 4):
                    (value,) = self._unpack("Q" if self._big else "I", value)
                values = self._unpack(layout[1:], value)
                if kind == _RATIONAL:
                    values = tuple(
                        round(a / (b or 1), 3) for a, b in zip(values[::2], values[1::2], strict=True)
                    )
                found[_TAGS[tag]] = values
        (following,) = self._unpack("Q" if self._big else "I", start + entries * step)
        return found, following

    def _unpack(self, layout: str, offset: int) -> tuple[Any, ...]:
        try:
            return struct.unpack_from(self._order + layout, self._data, offset)
        except (struct.error, OverflowError):
            raise TruncatedImage("a directory of the tiff is behind the end of the file") from None
