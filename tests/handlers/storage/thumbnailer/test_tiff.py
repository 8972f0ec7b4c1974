"""Every kind of TIFF: the right picture of it, in the right colours, or the reason why not."""

import io
from collections.abc import Callable

import pytest
from PIL import Image

from storage.thumbnailer.decoders.errors import UnsupportedFormat
from tests.handlers.storage.thumbnailer.pictures import close, corners, make
from tests.handlers.storage.thumbnailer.tiffs import (
    BYTE,
    GREY,
    GREYS,
    HEIGHT,
    PICTURE,
    PLANAR,
    RGB,
    SHORT,
    SRGB,
    TILED,
    WIDTH,
    Page,
    compressed,
    extra,
    floats,
    lab,
    nibbles,
    packed,
    palette,
    preview,
    subsampled,
    tiff,
    tiles,
    with_channels,
)

YCBCR = PICTURE.convert("YCbCr").tobytes()
CMYK = PICTURE.convert("CMYK").tobytes()
RED, GREEN, BLUE = PICTURE.split()

SHOWN: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: tiff(Page(RGB)),
    "RGB, big-endian": lambda: tiff(Page(RGB), order=">"),
    "RGB of 16 bits": lambda: tiff(Page(packed("H", (v * 257 for v in RGB)), bits=(16, 16, 16))),
    "RGB in planes": lambda: tiff(
        Page(b"".join(p.tobytes() for p in (RED, GREEN, BLUE)), parts=3, tags=PLANAR)
    ),
    "RGB in tiles": lambda: tiff(Page(tiles(PICTURE), parts=2, tags=TILED)),
    "RGB, bits of each byte reversed": lambda: tiff(
        Page(bytes(int(f"{v:08b}"[::-1], 2) for v in RGB), tags={266: (SHORT, [2])})
    ),
    "RGB, LZW": lambda: compressed("tiff_lzw"),
    "RGB, PackBits": lambda: compressed("packbits"),
    "RGB, deflated": lambda: compressed("tiff_adobe_deflate"),
    "JPEG": lambda: compressed("jpeg"),
    "grey, 0 is white": lambda: tiff(Page(bytes(255 - v for v in GREYS), 0, (8,))),
    "grey of 16 bits, 0 is white": lambda: tiff(
        Page(packed("H", ((255 - v) * 257 for v in GREYS)), 0, (16,))
    ),
    "grey of 4 bits": lambda: tiff(Page(nibbles([v >> 4 for v in GREYS]), 1, (4,))),
    "palette of 8 bits": lambda: palette(8),
    "palette of 4 bits": lambda: palette(4),
    # Floats are linear light, or values of their profile.
    "RGB of floats": lambda: floats("f", RGB, 3, 2),
    "RGB of half floats": lambda: floats("e", RGB, 3, 2),
    "RGB of floats with a profile": lambda: floats("f", RGB, 3, 2, profile=True),
    "RGB of half floats with a profile": lambda: floats("e", RGB, 3, 2, profile=True),
    "grey of floats": lambda: floats("f", GREYS, 1, 1),
    # Chroma for each pixel, and for each four.
    "YCbCr": lambda: tiff(Page(YCBCR, 6, tags={530: (SHORT, [1, 1])})),
    "YCbCr, subsampled": lambda: tiff(Page(subsampled(), 6)),
    "YCbCr, LZW": lambda: compressed("tiff_lzw", "YCbCr"),
    # Channels that are neither colours nor transparency.
    "RGB and an unspecified channel": lambda: tiff(
        Page(with_channels(3, RGB, 0), bits=(8,) * 4, tags=extra([0]))
    ),
    "RGB and a channel without a word": lambda: tiff(Page(with_channels(3, RGB, 0), bits=(8,) * 4)),
    "RGB with a profile and a channel": lambda: tiff(
        Page(with_channels(3, RGB, 0), bits=(8,) * 4, tags={34675: (BYTE, list(SRGB))})
    ),
    "RGB of 16 bits and a channel": lambda: tiff(
        Page(packed("H", (v * 257 for v in with_channels(3, RGB, 0))), bits=(16,) * 4)
    ),
    "RGB and four channels": lambda: tiff(Page(with_channels(3, RGB, 0, 0, 0, 0), bits=(8,) * 7)),
    "RGB in planes and a channel": lambda: tiff(
        Page(
            b"".join(p.tobytes() for p in (RED, GREEN, BLUE)) + bytes(len(GREYS)),
            bits=(8,) * 4,
            parts=4,
            tags=PLANAR,
        )
    ),
    "grey and an unspecified channel": lambda: tiff(
        Page(with_channels(1, GREYS, 0), 1, (8, 8), tags=extra([0]))
    ),
    # Which of several pictures.
    "a preview first": lambda: tiff(preview(_254=1), Page(RGB)),
    "a preview first, marked in the old way": lambda: tiff(preview(_255=2), Page(RGB)),
    "a preview, the picture as its child": lambda: tiff(
        Page(preview().pixels, size=(16, 12), tags={254: (SHORT, [1])}, children=[preview(_254=1), Page(RGB)])
    ),
    "a preview as a child": lambda: tiff(Page(RGB, children=[preview(_254=1)])),
    "a mask first": lambda: tiff(
        Page(bytes(WIDTH * HEIGHT // 8), 4, (1,), tags={254: (SHORT, [4])}), Page(RGB)
    ),
    "two pages": lambda: tiff(Page(RGB), preview()),
    "a preview first, the picture on its side": lambda: tiff(
        preview(_254=1),
        Page(
            PICTURE.transpose(Image.Transpose.ROTATE_90).tobytes(),
            size=(HEIGHT, WIDTH),
            tags={274: (SHORT, [6])},
        ),
    ),
}


def shown(data: bytes) -> Image.Image:
    made = make(data, sizes=(WIDTH,), quality=100)
    assert (made.width, made.height) == (WIDTH, HEIGHT)
    return Image.open(io.BytesIO(made.thumbnails[0].data))


@pytest.mark.parametrize("kind", SHOWN)
def test_a_tiff_is_shown_in_its_colours(kind: str) -> None:
    image = shown(SHOWN[kind]())
    assert image.mode == "RGB"
    assert close(corners(image), corners(GREY if "grey" in kind else PICTURE), tolerance=14)


def test_cie_lab_is_shown_in_its_colours() -> None:
    image = shown(tiff(Page(lab("16"), 8, (16, 16, 16))))
    assert close(corners(image), corners(PICTURE), tolerance=14)


TRANSPARENT: dict[str, Callable[[], bytes]] = {
    "RGB": lambda: tiff(Page(with_channels(3, RGB, 128), bits=(8,) * 4, tags=extra([2]))),
    "RGB, multiplied": lambda: tiff(
        Page(with_channels(3, bytes(v * 128 // 255 for v in RGB), 128), bits=(8,) * 4, tags=extra([1]))
    ),
    "RGB, after an unspecified channel": lambda: tiff(
        Page(with_channels(3, RGB, 0, 128), bits=(8,) * 5, tags=extra([0, 2]))
    ),
    "grey": lambda: tiff(Page(with_channels(1, GREYS, 128), 1, (8, 8), tags=extra([2]))),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_only_the_channel_that_says_so_is_transparency(kind: str) -> None:
    image = shown(TRANSPARENT[kind]())
    assert image.mode == "RGBA"
    assert image.getchannel("A").getextrema() == (128, 128)
    assert close(corners(image), corners(GREY if "grey" in kind else PICTURE), tolerance=14)


def test_a_spot_colour_is_not_transparency() -> None:
    plain = shown(tiff(Page(CMYK, 5, (8,) * 4)))
    spot = shown(tiff(Page(with_channels(4, CMYK, 0), 5, (8,) * 5, tags=extra([0]))))
    assert (spot.mode, spot.tobytes()) == ("RGB", plain.tobytes())


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "CIE L*a*b* of 8 bits": (lambda: tiff(Page(lab("8"), 8)), "CIE L*a*b* samples of 8 bits"),
    "ICC L*a*b*": (lambda: tiff(Page(lab("8"), 9)), "ICC L*a*b* colours"),
    "12 bits": (lambda: tiff(Page(bytes(WIDTH * HEIGHT * 3 // 2), 1, (12,))), "integer samples of 12 bits"),
    "32 bits": (lambda: tiff(Page(bytes(4 * len(RGB)), bits=(32,) * 3)), "integer samples of 32 bits"),
    "doubles": (lambda: floats("d", RGB, 3, 2), "float samples of 64 bits"),
    "signed": (
        lambda: tiff(Page(RGB, tags={339: (SHORT, [2, 2, 2])})),
        "signed integer samples of 8 bits",
    ),
    "complex": (
        lambda: tiff(Page(bytes(8 * len(GREYS)), 1, (64,), tags={339: (SHORT, [6])})),
        "complex or undefined samples",
    ),
    "floats where 0 is white": (lambda: floats("f", GREYS, 1, 0), "float samples where 0 is white"),
    "different depths": (lambda: tiff(Page(RGB, bits=(8, 8, 16))), "channels of different depths"),
    "tiles of planes": (
        lambda: tiff(Page(tiles(RED, GREEN, BLUE), parts=6, tags=TILED | PLANAR)),
        "tiles of separate planes",
    ),
    "other inks": (lambda: tiff(Page(CMYK, 5, (8,) * 4, tags={332: (SHORT, [2])})), "inks other than"),
    "camera raw": (lambda: tiff(Page(GREYS, 32803, (8,))), "the unprocessed data of a camera"),
    "camera raw with a preview": (
        lambda: tiff(
            Page(
                preview().pixels, size=(16, 12), tags={254: (SHORT, [1])}, children=[Page(GREYS, 32803, (8,))]
            )
        ),
        "the unprocessed data of a camera",
    ),
    "only a mask": (lambda: tiff(Page(bytes(len(GREYS) // 8), 4, (1,))), "only a transparency mask"),
    "unknown colours": (lambda: tiff(Page(RGB, 77)), "the photometric interpretation 77"),
    "YCbCr in planes": (
        lambda: tiff(Page(YCBCR, 6, parts=3, tags=PLANAR | {530: (SHORT, [1, 1])})),
        "a variant of YCbCr",
    ),
    "nine channels": (lambda: tiff(Page(with_channels(3, RGB, *[0] * 6), bits=(8,) * 9)), "9 channels"),
    "old JPEG": (lambda: tiff(Page(RGB, tags={259: (SHORT, [6])})), "Old-style JPEG compression support"),
    "LERC": (lambda: tiff(Page(RGB, tags={259: (SHORT, [34887])})), "LERC compression support"),
    "JPEG 2000": (lambda: tiff(Page(RGB, tags={259: (SHORT, [34712])})), "Compression scheme 34712"),
    "zstd": (lambda: compressed("zstd"), "ZSTD compression support is not configured"),
    "lzma": (lambda: compressed("lzma"), "LZMA compression support is not configured"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_tiff_that_would_be_wrong_is_refused_as_not_supported_with_the_reason(kind: str) -> None:
    content, reason = REFUSED[kind]
    with pytest.raises(UnsupportedFormat) as caught:
        make(content())
    assert reason in str(caught.value)


def test_directories_that_form_a_loop_are_read_once() -> None:
    data = bytearray(tiff(Page(RGB), preview()))
    data[-4:] = data[4:8]  # after the second page comes the first one
    assert close(corners(shown(bytes(data))), corners(PICTURE))
