"""Pictures of every format and variant, and what their thumbnails look like."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from scenarios.storage.thumbnailer import pictures as photographs
from storage.thumbnailer.decoders.errors import TruncatedImage
from storage.thumbnailer.settings import Colour
from tests.handlers.storage.thumbnailer.heic import HEIC, HEIC_TRANSPARENT, HEIC_TURNED
from tests.handlers.storage.thumbnailer.pictures import (
    BLUE,
    GREEN,
    RED,
    YELLOW,
    close,
    corners,
    encode,
    make,
    png_16_bit,
    quadrants,
    thumbnail,
    tiff,
    wide_gamut,
)

FORMATS = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tiff", "AVIF": "avif"}


# --- Formats


@pytest.mark.parametrize("output", ["webp", "jpeg"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_becomes_a_thumbnail(format: str, output: str) -> None:
    made = make(encode(quadrants(), format), format=output)
    assert (made.format.value, made.width, made.height) == (FORMATS[format], 200, 150)
    image = Image.open(io.BytesIO(made.thumbnails[0].data))
    assert (image.format, image.size, image.mode) == (output.upper(), (100, 75), "RGB")
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize("file", sorted(path.name for path in photographs.FOLDER.glob("*.*[!d]")))
def test_thumbnails_of_photographs_match_the_reference(file: str) -> None:
    data = photographs.photograph(file)
    made = make(data, sizes=(64, 128, 256), quality=80)
    for one in made.thumbnails:
        expected = photographs.reference(data, one.size)
        assert (one.width, one.height) == expected.size
        image = Image.open(io.BytesIO(one.data))
        assert photographs.difference(image, expected) < photographs.TOLERANCE


KINDS: dict[str, Callable[[], bytes]] = {
    "grey PNG": lambda: encode(quadrants().convert("L"), "PNG"),
    "palette PNG": lambda: encode(quadrants().quantize(16), "PNG"),
    "interlaced GIF": lambda: encode(quadrants(), "GIF", interlace=1),
    "16-bit PNG": lambda: png_16_bit(quadrants()),
    "16-bit grey PNG": lambda: png_16_bit(quadrants().convert("L")),
    "progressive JPEG": lambda: encode(quadrants(), "JPEG", progressive=True),
    "JPEG without subsampling": lambda: encode(quadrants(), "JPEG", subsampling=0),
    "grey JPEG": lambda: encode(quadrants().convert("L"), "JPEG"),
    "RGB JPEG": lambda: encode(quadrants(), "JPEG", keep_rgb=True),
    "RGB JPEG that is known by its channels only": lambda: without_adobe_marker(
        encode(quadrants(), "JPEG", keep_rgb=True)
    ),
    "lossless WebP": lambda: encode(quadrants(), "WEBP", lossless=True),
    "LZW TIFF": lambda: encode(quadrants(), "TIFF", compression="tiff_lzw"),
    "JPEG in TIFF": lambda: encode(quadrants(), "TIFF", compression="jpeg"),
    "BigTIFF": lambda: encode(quadrants(), "TIFF", big_tiff=True),
    "16-bit TIFF": lambda: sixteen_bit_tiff(),
}


def without_adobe_marker(data: bytes) -> bytes:
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]


def sixteen_bit_tiff() -> bytes:
    image = quadrants()
    pixels = b"".join(bytes((value * 31 % 256, value)) for value in image.tobytes())
    return tiff(image, bits=16, sample_format=1, photometric=2, pixels=pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_variants_of_formats_have_the_right_colours(kind: str) -> None:
    expected = quadrants().convert("L") if "grey" in kind else quadrants()
    image = thumbnail(KINDS[kind]())
    assert image.size == (100, 75)
    assert close(corners(image), corners(expected))


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
@pytest.mark.parametrize(
    ("ink", "seen"),
    [
        ((255, 0, 0, 0), (0, 160, 220)),
        ((0, 255, 0, 0), (225, 0, 125)),
        ((0, 0, 255, 0), (250, 235, 0)),
        ((0, 0, 0, 255), (30, 30, 30)),
        ((0, 0, 0, 0), (255, 255, 255)),
    ],
    ids=["cyan", "magenta", "yellow", "black", "paper"],
)
def test_cmyk_is_converted_as_ink_on_paper(format: str, ink: tuple[int, int, int, int], seen: Colour) -> None:
    """Printed cyan is not the (0, 255, 255) of the simple formula."""
    image = thumbnail(encode(Image.new("CMYK", (200, 150), ink), format))
    assert image.mode == "RGB"
    assert close(corners(image), [seen] * 4, tolerance=30)


def test_a_black_and_white_picture_gets_greys() -> None:
    checks = Image.new("1", (200, 200))
    for x in range(200):
        for y in range(200):
            checks.putpixel((x, y), (x + y) % 2)
    image = thumbnail(encode(checks, "PNG"))
    assert close(corners(image), [(127, 127, 127)] * 4, tolerance=12)


@pytest.mark.parametrize("edge", [33, 41, 65])
def test_a_picture_that_does_not_divide_by_eight_is_not_stretched(edge: int) -> None:
    """JPEG is decoded at an eighth and rounded up: only part of the last column is filled."""
    ramp = Image.linear_gradient("L").resize((edge, edge)).convert("RGB")
    data = encode(ramp, "JPEG", quality=100, subsampling=0)
    image = thumbnail(data, sizes=(4,), quality=100)
    expected = ramp.resize((4, 4), Image.Resampling.BOX)
    assert photographs.difference(image, expected) < 4


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "AVIF"])
def test_the_first_frame_of_an_animation_is_taken(format: str) -> None:
    others = [Image.new("RGB", (200, 150), "black")] * 2
    data = encode(quadrants(), format, save_all=True, append_images=others)
    assert close(corners(thumbnail(data)), [RED, GREEN, BLUE, YELLOW])


def test_a_heic_is_decoded_and_turned_as_it_says() -> None:
    for data in (HEIC, HEIC_TURNED):
        made = make(data)
        assert (made.format, made.width, made.height) == ("heic", 200, 150)
        image = Image.open(io.BytesIO(made.thumbnails[0].data))
        assert close(corners(image), [RED, GREEN, BLUE, YELLOW], tolerance=14)
    transparent = thumbnail(HEIC_TRANSPARENT)
    assert (transparent.mode, transparent.size) == ("RGBA", (64, 64))
    assert abs(transparent.getchannel("A").getextrema()[0] - 128) < 5  # type: ignore[operator]


# --- Which way up, and which colours


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(format: str, orientation: int) -> None:
    turn = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,  # stored on its left side, to be turned clockwise
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = quadrants() if turn is None else quadrants().transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    made = make(encode(stored, format, exif=exif))
    assert (made.width, made.height) == (200, 150)
    image = Image.open(io.BytesIO(made.thumbnails[0].data))
    assert image.size == (100, 75)
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW], tolerance=14)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + bytes(9)])
def test_broken_exif_is_no_reason_to_refuse_a_picture(exif: bytes) -> None:
    image = thumbnail(encode(quadrants(), "JPEG", exif=exif))
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_invalid_orientation_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = thumbnail(encode(quadrants(), "JPEG", exif=exif))
    assert image.size == (100, 75)


ATTRIBUTE = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
ELEMENT = b"<rdf:Description><tiff:Orientation>6</tiff:Orientation></rdf:Description>"
QUOTES = ATTRIBUTE.replace(b'"', b"'")


def with_xmp(image: Image.Image, format: str, xmp: bytes, **options: Any) -> bytes:
    """A picture with XMP, as Pillow writes it."""
    if format == "PNG":
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif format == "TIFF":
        options["tiffinfo"] = {700: xmp}
    else:
        options["xmp"] = xmp
    if format == "CMYK":
        return encode(image.convert("CMYK"), "JPEG", **options)
    return encode(image, format, **options)


@pytest.mark.parametrize("format", ["JPEG", "CMYK", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("xmp", [ATTRIBUTE, ELEMENT, QUOTES])
def test_an_orientation_in_xmp_is_turned_upright(format: str, xmp: bytes) -> None:
    made = make(with_xmp(quadrants().transpose(Image.Transpose.ROTATE_90), format, xmp))
    assert (made.width, made.height) == (200, 150)
    image = Image.open(io.BytesIO(made.thumbnails[0].data))
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW], tolerance=80 if format == "CMYK" else 14)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_the_orientation_in_exif_wins_over_that_in_xmp(format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 1
    image = thumbnail(with_xmp(quadrants(), format, ATTRIBUTE, exif=exif))
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW], tolerance=14)


def test_an_avif_says_itself_how_it_is_turned() -> None:
    image = thumbnail(with_xmp(quadrants(), "AVIF", ATTRIBUTE))
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW], tolerance=14)


INCOMPLETE: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: encode(quadrants(), "JPEG")[:-2],
    "progressive JPEG": lambda: encode(quadrants(), "JPEG", progressive=True)[:-2],
    "CMYK JPEG": lambda: encode(quadrants().convert("CMYK"), "JPEG")[:-2],
}


@pytest.mark.parametrize("kind", INCOMPLETE)
def test_a_jpeg_without_its_end_marker_is_decoded_only_if_that_is_wanted(kind: str) -> None:
    data = INCOMPLETE[kind]()
    image = thumbnail(data, incomplete_jpeg=True)
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW], tolerance=80 if "CMYK" in kind else 14)
    with pytest.raises(TruncatedImage):
        make(data)


def test_what_is_missing_of_an_incomplete_jpeg_is_grey() -> None:
    data = encode(quadrants(400, 300), "JPEG", quality=95)
    whole, half = (
        corners(thumbnail(data, incomplete_jpeg=True)),
        thumbnail(data[: len(data) // 2], incomplete_jpeg=True),
    )
    assert close(whole, [RED, GREEN, BLUE, YELLOW])
    assert close(corners(half)[:1], [RED])
    assert close(corners(half)[3:], [(128, 128, 128)], tolerance=20)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_embedded_profile_is_converted_to_srgb(format: str) -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(wide_gamut()))
    stored = ImageCms.profileToProfile(quadrants(), ImageCms.createProfile("sRGB"), profile)
    assert stored is not None
    assert not close(corners(stored), [RED, GREEN, BLUE, YELLOW], tolerance=25)
    image = thumbnail(encode(stored, format, icc_profile=wide_gamut()))
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW], tolerance=14)


@pytest.mark.parametrize("profile", [b"no profile at all", wide_gamut()[:200]], ids=["nonsense", "cut off"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_broken_profile_is_ignored(format: str, profile: bytes) -> None:
    image = thumbnail(encode(quadrants(), format, icc_profile=profile))
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW])


def test_a_profile_for_colours_in_a_grey_picture_is_ignored() -> None:
    grey = quadrants().convert("L")
    image = thumbnail(encode(grey, "JPEG", icc_profile=wide_gamut()))
    assert close(corners(image), corners(grey))


# --- Transparency


def see_through() -> Image.Image:
    """The left half is transparent, and white underneath."""
    image = quadrants().convert("RGBA")
    image.paste((255, 255, 255, 0), (0, 0, 100, 150))
    return image


TRANSPARENT: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: encode(see_through(), "PNG"),
    "16-bit PNG": lambda: png_16_bit(see_through()),
    "palette PNG": lambda: encode(see_through().quantize(16), "PNG"),
    "grey PNG": lambda: encode(see_through().convert("LA"), "PNG"),
    "16-bit grey PNG": lambda: png_16_bit(see_through().convert("LA")),
    "WebP": lambda: encode(see_through(), "WEBP"),
    "lossless WebP": lambda: encode(see_through(), "WEBP", lossless=True, exact=True),
    "GIF": lambda: encode(see_through(), "GIF"),
    "TIFF": lambda: encode(see_through(), "TIFF"),
    "AVIF": lambda: encode(see_through(), "AVIF"),
}


def right_half(kind: str) -> list[Colour]:
    return corners(quadrants().convert("L"))[1::2] if "grey" in kind else [GREEN, YELLOW]


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_webp_retains_transparency(kind: str) -> None:
    image = thumbnail(TRANSPARENT[kind]())
    assert image.mode == "RGBA"
    alpha = image.getchannel("A")
    assert alpha.crop((0, 0, 45, 75)).getextrema() == (0, 0)
    assert min(alpha.crop((55, 0, 100, 75)).tobytes()) >= 254  # 16 bits are rounded
    assert close(corners(image)[1::2], right_half(kind))


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparency_becomes_the_background_in_jpeg(kind: str) -> None:
    image = thumbnail(TRANSPARENT[kind](), format="jpeg", background=(10, 200, 250))
    assert close(corners(image)[::2], [(10, 200, 250)] * 2)
    assert close(corners(image)[1::2], right_half(kind))


@pytest.mark.parametrize("sizes", [(100,), (40, 150)])
def test_the_hidden_colour_of_transparent_pixels_does_not_bleed(sizes: tuple[int, ...]) -> None:
    """A black disc on transparent white: grey at its edge would be the white coming through."""
    image = Image.new("RGBA", (200, 200), (255, 255, 255, 0))
    image.paste((0, 0, 0, 255), (50, 50, 150, 150))
    for one in make(encode(image, "PNG"), sizes=sizes, quality=100).thumbnails:
        small = Image.open(io.BytesIO(one.data))
        visible = small.getchannel("A").point(lambda alpha: 255 if alpha > 60 else 0)
        seen = Image.composite(small.convert("RGB"), Image.new("RGB", small.size), visible).convert("L")
        assert max(seen.tobytes()) < 60


def test_an_alpha_channel_that_hides_nothing_is_dropped() -> None:
    assert thumbnail(encode(quadrants().convert("RGBA"), "PNG")).mode == "RGB"
