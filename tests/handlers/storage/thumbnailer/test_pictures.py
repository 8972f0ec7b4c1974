"""Pictures of every kind, and what their thumbnails look like."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageStat

from scenarios.storage import pictures as photographs
from tests.handlers.loading import LoadedHandler
from tests.handlers.storage.thumbnailer.pictures import (
    BLUE,
    GREEN,
    RED,
    YELLOW,
    encode,
    png_16_bit,
    quadrants,
    tiff,
)

Colour = tuple[int, int, int]
FORMATS = {"JPEG": "jpeg", "PNG": "png", "WEBP": "webp", "GIF": "gif", "TIFF": "tiff", "AVIF": "avif"}


def make(
    thumbnailer: LoadedHandler,
    data: bytes,
    *,
    sizes: tuple[int, ...] = (100,),
    format: str = "webp",
    quality: int = 90,
    background: Colour = (255, 255, 255),
    max_pixels: int = 1_000_000,
) -> Any:  # noqa: ANN401 - a class of the handler's own
    pictures = thumbnailer.pictures
    output = pictures.Output(sizes=sizes, format=format, quality=quality, background=background)
    return pictures.make_thumbnails(data, output, max_pixels=max_pixels)


def thumbnail(thumbnailer: LoadedHandler, data: bytes, **options: Any) -> Image.Image:  # noqa: ANN401
    [only] = make(thumbnailer, data, **options).thumbnails
    image = Image.open(io.BytesIO(only.data))
    assert image.size == (only.width, only.height)
    return image


def corners(image: Image.Image) -> list[Colour]:
    """The colours in the middle of the quarters: top left, top right, bottom left, bottom right."""
    width, height = image.size
    found = []
    for top in (0, height // 2):
        for left in (0, width // 2):
            box = (left + width // 8, top + height // 8, left + 3 * width // 8, top + 3 * height // 8)
            found.append(tuple(round(value) for value in ImageStat.Stat(image.convert("RGB").crop(box)).mean))
    return found  # type: ignore[return-value] # three bands


def close(found: list[Colour], expected: list[Colour], tolerance: int = 10) -> bool:
    """Whether colours are about those."""
    return all(
        abs(a - b) <= tolerance
        for one, other in zip(found, expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )


# --- Formats


@pytest.mark.parametrize("output", ["webp", "jpeg"])
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_becomes_a_thumbnail(thumbnailer: LoadedHandler, format: str, output: str) -> None:
    made = make(thumbnailer, encode(quadrants(), format), format=output)
    assert (made.format.value, made.width, made.height) == (FORMATS[format], 200, 150)
    image = Image.open(io.BytesIO(made.thumbnails[0].data))
    assert (image.format, image.size, image.mode) == (output.upper(), (100, 75), "RGB")
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize("file", sorted(path.name for path in photographs.FOLDER.glob("*.*[!d]")))
def test_photographs_look_as_a_slow_and_simple_program_would_make_them(
    thumbnailer: LoadedHandler, file: str
) -> None:
    data = photographs.photograph(file)
    made = make(thumbnailer, data, sizes=(64, 128, 256), quality=80)
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
    "lossless WebP": lambda: encode(quadrants(), "WEBP", lossless=True),
    "LZW TIFF": lambda: encode(quadrants(), "TIFF", compression="tiff_lzw"),
    "JPEG in TIFF": lambda: encode(quadrants(), "TIFF", compression="jpeg"),
    "BigTIFF": lambda: encode(quadrants(), "TIFF", big_tiff=True),
    "16-bit TIFF": lambda: sixteen_bit_tiff(),
}


def sixteen_bit_tiff() -> bytes:
    image = quadrants()
    pixels = b"".join(bytes((value * 31 % 256, value)) for value in image.tobytes())
    return tiff(image, bits=16, sample_format=1, photometric=2, pixels=pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_variants_of_formats_have_the_right_colours(thumbnailer: LoadedHandler, kind: str) -> None:
    expected = quadrants().convert("L") if "grey" in kind else quadrants()
    image = thumbnail(thumbnailer, KINDS[kind]())
    assert image.size == (100, 75)
    assert close(corners(image), corners(expected))


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_converted(thumbnailer: LoadedHandler, format: str) -> None:
    image = thumbnail(thumbnailer, encode(quadrants().convert("CMYK"), format))
    assert image.mode == "RGB"
    # Inks are duller than light: without a profile of their own, red is still red and so on.
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW], tolerance=75)
    assert all(
        one.index(max(one)) == other.index(max(other))
        for one, other in zip(corners(image), [RED, GREEN, BLUE, YELLOW], strict=True)
    )


def test_a_black_and_white_picture_gets_greys(thumbnailer: LoadedHandler) -> None:
    checks = Image.new("1", (200, 200))
    for x in range(200):
        for y in range(200):
            checks.putpixel((x, y), (x + y) % 2)
    image = thumbnail(thumbnailer, encode(checks, "PNG"))
    assert close(corners(image), [(127, 127, 127)] * 4, tolerance=12)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "TIFF", "AVIF"])
def test_of_a_film_the_first_picture_is_taken(thumbnailer: LoadedHandler, format: str) -> None:
    others = [Image.new("RGB", (200, 150), "black")] * 2
    data = encode(quadrants(), format, save_all=True, append_images=others)
    assert close(corners(thumbnail(thumbnailer, data)), [RED, GREEN, BLUE, YELLOW])


# --- Which way up, and which colours


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned_upright(
    thumbnailer: LoadedHandler, format: str, orientation: int
) -> None:
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
    made = make(thumbnailer, encode(stored, format, exif=exif))
    assert (made.width, made.height) == (200, 150)
    image = Image.open(io.BytesIO(made.thumbnails[0].data))
    assert image.size == (100, 75)
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW], tolerance=14)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0MM\0*" + bytes(9)])
def test_broken_exif_is_no_reason_to_refuse_a_picture(thumbnailer: LoadedHandler, exif: bytes) -> None:
    image = thumbnail(thumbnailer, encode(quadrants(), "JPEG", exif=exif))
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW])


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(thumbnailer: LoadedHandler, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = thumbnail(thumbnailer, encode(quadrants(), "JPEG", exif=exif))
    assert image.size == (100, 75)


def wide_gamut() -> bytes:
    """A profile whose colours are far from those of sRGB."""
    profile = Image.open(io.BytesIO(photographs.photograph("coffee-wide-gamut.jpg"))).info["icc_profile"]
    assert isinstance(profile, bytes)
    return profile


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_an_embedded_profile_is_converted_to_srgb(thumbnailer: LoadedHandler, format: str) -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(wide_gamut()))
    stored = ImageCms.profileToProfile(quadrants(), ImageCms.createProfile("sRGB"), profile)
    assert stored is not None
    assert not close(corners(stored), [RED, GREEN, BLUE, YELLOW], tolerance=25)
    image = thumbnail(thumbnailer, encode(stored, format, icc_profile=wide_gamut()))
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW], tolerance=14)


@pytest.mark.parametrize("profile", [b"no profile at all", wide_gamut()[:200]], ids=["nonsense", "cut off"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_a_broken_profile_is_ignored(thumbnailer: LoadedHandler, format: str, profile: bytes) -> None:
    image = thumbnail(thumbnailer, encode(quadrants(), format, icc_profile=profile))
    assert close(corners(image), [RED, GREEN, BLUE, YELLOW])


def test_a_profile_for_colours_in_a_grey_picture_is_ignored(thumbnailer: LoadedHandler) -> None:
    grey = quadrants().convert("L")
    image = thumbnail(thumbnailer, encode(grey, "JPEG", icc_profile=wide_gamut()))
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
    "WebP": lambda: encode(see_through(), "WEBP"),
    "lossless WebP": lambda: encode(see_through(), "WEBP", lossless=True, exact=True),
    "GIF": lambda: encode(see_through(), "GIF"),
    "TIFF": lambda: encode(see_through(), "TIFF"),
    "AVIF": lambda: encode(see_through(), "AVIF"),
}


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparency_is_kept_in_webp(thumbnailer: LoadedHandler, kind: str) -> None:
    image = thumbnail(thumbnailer, TRANSPARENT[kind]())
    assert image.mode == "RGBA"
    alpha = image.getchannel("A")
    assert alpha.crop((0, 0, 45, 75)).getextrema() == (0, 0)
    assert alpha.crop((55, 0, 100, 75)).getextrema() == (255, 255)
    assert close(corners(image)[1::2], [GREEN, YELLOW])


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_transparency_becomes_the_background_in_jpeg(thumbnailer: LoadedHandler, kind: str) -> None:
    image = thumbnail(thumbnailer, TRANSPARENT[kind](), format="jpeg", background=(10, 200, 250))
    assert close(corners(image), [(10, 200, 250), GREEN, (10, 200, 250), YELLOW])


@pytest.mark.parametrize("sizes", [(100,), (40, 150)])
def test_the_hidden_colour_of_transparent_pixels_does_not_bleed(
    thumbnailer: LoadedHandler, sizes: tuple[int, ...]
) -> None:
    """A black disc on transparent white: grey at its edge would be the white coming through."""
    image = Image.new("RGBA", (200, 200), (255, 255, 255, 0))
    image.paste((0, 0, 0, 255), (50, 50, 150, 150))
    for one in make(thumbnailer, encode(image, "PNG"), sizes=sizes, quality=100).thumbnails:
        small = Image.open(io.BytesIO(one.data))
        visible = small.getchannel("A").point(lambda alpha: 255 if alpha > 60 else 0)
        seen = Image.composite(small.convert("RGB"), Image.new("RGB", small.size), visible).convert("L")
        assert max(seen.tobytes()) < 60


def test_an_alpha_channel_that_hides_nothing_is_dropped(thumbnailer: LoadedHandler) -> None:
    assert thumbnail(thumbnailer, encode(quadrants().convert("RGBA"), "PNG")).mode == "RGB"


# --- Sizes


@pytest.mark.parametrize("format", FORMATS)
def test_a_small_picture_is_not_enlarged(thumbnailer: LoadedHandler, format: str) -> None:
    made = make(thumbnailer, encode(quadrants(40, 30), format), sizes=(20, 40, 64, 512))
    assert [(one.size, one.width, one.height) for one in made.thumbnails] == [
        (20, 20, 15),
        (40, 40, 30),
        (64, 40, 30),
        (512, 40, 30),
    ]
    assert made.thumbnails[1].data == made.thumbnails[3].data


def test_thumbnails_come_in_the_order_of_the_sizes(thumbnailer: LoadedHandler) -> None:
    made = make(thumbnailer, encode(quadrants(), "JPEG"), sizes=(64, 150, 32))
    assert [one.size for one in made.thumbnails] == [64, 150, 32]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("edges", [(400, 1), (1, 400), (1, 1), (3, 2)])
def test_the_oddest_shapes_work(thumbnailer: LoadedHandler, format: str, edges: tuple[int, int]) -> None:
    made = make(thumbnailer, encode(quadrants(*edges), format), sizes=(1, 16))
    for one in made.thumbnails:
        assert Image.open(io.BytesIO(one.data)).size == (one.width, one.height)
        assert max(one.width, one.height) == min(one.size, max(edges))


@given(width=st.integers(1, 65_535), height=st.integers(1, 65_535), size=st.integers(1, 16_383))
@example(width=65_535, height=1, size=1)
@example(width=3, height=2, size=2)
def test_a_thumbnail_fits_its_size_keeps_its_shape_and_is_not_larger_than_the_picture(
    thumbnailer: LoadedHandler, width: int, height: int, size: int
) -> None:
    fitted = thumbnailer.pictures.fit(width, height, size)
    assert max(fitted) == min(size, max(width, height))
    scale = max(fitted) / max(width, height)
    assert fitted[0] == pytest.approx(max(1, width * scale), abs=0.51)
    assert fitted[1] == pytest.approx(max(1, height * scale), abs=0.51)


@settings(max_examples=60)
@given(
    edges=st.tuples(*[st.integers(1, 300)] * 2),
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=4, unique=True),
    format=st.sampled_from(["JPEG", "PNG", "WEBP"]),
)
def test_every_picture_gets_every_size(
    thumbnailer: LoadedHandler, edges: tuple[int, int], sizes: list[int], format: str
) -> None:
    made = make(thumbnailer, encode(quadrants(*edges), format), sizes=tuple(sizes))
    assert [one.size for one in made.thumbnails] == sizes
    for one in made.thumbnails:
        image = Image.open(io.BytesIO(one.data))
        image.load()
        assert image.size == (one.width, one.height) == thumbnailer.pictures.fit(*edges, one.size)


def test_small_sizes_beside_large_ones_are_as_good_as_alone(thumbnailer: LoadedHandler) -> None:
    data = photographs.photograph("astronaut-progressive.jpg")
    made = make(thumbnailer, data, sizes=(60, 64, 128, 500, 512), quality=100)
    for one in made.thumbnails:
        image = Image.open(io.BytesIO(one.data))
        assert photographs.difference(image, photographs.reference(data, one.size)) < 3.5


# --- Quality and what is left of the original


@pytest.mark.parametrize("format", ["webp", "jpeg"])
def test_more_quality_makes_larger_and_better_thumbnails(thumbnailer: LoadedHandler, format: str) -> None:
    data = photographs.photograph("rocket.tiff")
    expected = photographs.reference(data, 256)
    low, high = (
        make(thumbnailer, data, sizes=(256,), format=format, quality=quality).thumbnails[0].data
        for quality in (10, 95)
    )
    assert len(low) < len(high) / 3
    assert photographs.difference(Image.open(io.BytesIO(low)), expected) > photographs.difference(
        Image.open(io.BytesIO(high)), expected
    )


@pytest.mark.parametrize("output", ["webp", "jpeg"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF"])
def test_nothing_of_the_metadata_is_left(thumbnailer: LoadedHandler, format: str, output: str) -> None:
    exif = Image.Exif()
    exif[0x010F] = "SECRET camera"
    exif.get_ifd(0x8825)[1] = "N"  # GPS
    options: dict[str, Any] = {"exif": exif, "icc_profile": wide_gamut()}
    if format in ("JPEG", "GIF"):
        options["comment"] = b"SECRET comment"
    if format == "GIF":
        del options["exif"], options["icc_profile"]
    if format in ("JPEG", "PNG", "WEBP", "AVIF"):
        options["xmp"] = b"<x:xmpmeta>SECRET place</x:xmpmeta>"
    data = encode(quadrants(), format, **options)
    assert b"SECRET" in data
    for one in make(thumbnailer, data, sizes=(100, 512), format=output).thumbnails:
        assert b"SECRET" not in one.data
        for mark in (b"Exif", b"EXIF", b"xmp", b"XMP", b"ICC"):
            assert mark not in one.data
        info = Image.open(io.BytesIO(one.data)).info
        assert not {"exif", "icc_profile", "xmp", "comment"} & {name for name, value in info.items() if value}
