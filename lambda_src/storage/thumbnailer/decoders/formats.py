"""First bytes of a file → the picture's format, whatever its key or content type says."""

from enum import StrEnum

from .errors import EmptyObject, NotAnImage, UnsupportedFormat


class Format(StrEnum):
    """A format that is decoded."""

    JPEG = "jpeg"
    PNG = "png"
    WEBP = "webp"
    GIF = "gif"
    TIFF = "tiff"
    AVIF = "avif"
    HEIC = "heic"


_STARTS: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff", Format.JPEG),
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"GIF87a", Format.GIF),
    (b"GIF89a", Format.GIF),
    (b"II*\0", Format.TIFF),
    (b"MM\0*", Format.TIFF),
    (b"II+\0", Format.TIFF),  # BigTIFF
    (b"MM\0+", Format.TIFF),
)

# Named in the error only: it should say why a picture is refused.
_OTHER_PICTURES: tuple[tuple[bytes, str], ...] = (
    (b"BM", "BMP"),
    (b"8BPS", "Photoshop"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\0\0\0\x0cjP  ", "JPEG 2000"),
)

_DECODED = "JPEG, PNG, WebP, GIF, TIFF, AVIF and HEIC are"


def sniff(data: bytes) -> Format:
    """Return the format of a picture.

    Raises:
        EmptyObject: There are no bytes.
        UnsupportedFormat: It is a picture in a format that is not decoded.
        NotAnImage: It is in no known format.
    """
    if not data:
        raise EmptyObject("the object has 0 bytes")
    for start, known in _STARTS:
        if data.startswith(start):
            return known
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Format.WEBP
    if data[4:8] == b"ftyp":
        return _sniff_isobmff(data)
    for start, name in _OTHER_PICTURES:
        if data.startswith(start):
            raise UnsupportedFormat(f"a {name} picture; {_DECODED} decoded")
    raise NotAnImage(f"the first bytes are not those of a picture; {_DECODED} decoded")


def _sniff_isobmff(data: bytes) -> Format:
    """Read the brands of the container, which AVIF and HEIC share with MP4 and others."""
    length = int.from_bytes(data[:4], "big")
    brands = {data[start : start + 4] for start in (8, *range(16, min(length, 256), 4))}
    if brands & {b"avif", b"avis"}:
        return Format.AVIF
    if brands & {b"heic", b"heix", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return Format.HEIC
    raise NotAnImage(f"a video or another container; {_DECODED} decoded")
