"""Thumbnails: their dimensions, their quality, and their metadata."""

import io
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from benchmarks.similarity import similarity
from scenarios.storage.thumbnailer import pictures as photographs
from storage.thumbnailer.decoders import fit
from storage.thumbnailer.pictures import Thumbnail
from tests.handlers.storage.thumbnailer.pictures import encode, make, quadrants, wide_gamut

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "AVIF")


@pytest.mark.parametrize("format", FORMATS)
def test_a_small_picture_is_not_enlarged(format: str) -> None:
    made = make(encode(quadrants(40, 30), format), sizes=(20, 40, 64, 512))
    assert [(one.size, one.width, one.height) for one in made.thumbnails] == [
        (20, 20, 15),
        (40, 40, 30),
        (64, 40, 30),
        (512, 40, 30),
    ]
    assert made.thumbnails[1].data == made.thumbnails[3].data


def test_thumbnails_come_in_the_order_of_the_sizes() -> None:
    made = make(encode(quadrants(), "JPEG"), sizes=(64, 150, 32))
    assert [one.size for one in made.thumbnails] == [64, 150, 32]


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("edges", [(400, 1), (1, 400), (1, 1), (3, 2)])
def test_the_oddest_shapes_work(format: str, edges: tuple[int, int]) -> None:
    made = make(encode(quadrants(*edges), format), sizes=(1, 16))
    for one in made.thumbnails:
        assert Image.open(io.BytesIO(one.data)).size == (one.width, one.height)
        assert max(one.width, one.height) == min(one.size, max(edges))


@given(width=st.integers(1, 65_535), height=st.integers(1, 65_535), size=st.integers(1, 16_383))
@example(width=65_535, height=1, size=1)
@example(width=3, height=2, size=2)
def test_a_thumbnail_fits_its_size_keeps_its_shape_and_is_not_larger_than_the_picture(
    width: int, height: int, size: int
) -> None:
    fitted = fit(width, height, size)
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
def test_every_picture_gets_every_size(edges: tuple[int, int], sizes: list[int], format: str) -> None:
    made = make(encode(quadrants(*edges), format), sizes=tuple(sizes))
    assert [one.size for one in made.thumbnails] == sizes
    for one in made.thumbnails:
        image = Image.open(io.BytesIO(one.data))
        image.load()
        assert image.size == (one.width, one.height) == fit(*edges, one.size)


@pytest.mark.parametrize("file", ["astronaut-progressive.jpg", "rocket.tiff"])
def test_small_sizes_made_together_with_large_ones_are_as_good_as_without_them(file: str) -> None:
    data = photographs.photograph(file)

    def quality(one: Thumbnail) -> float:
        image = Image.open(io.BytesIO(one.data)).convert("RGB")
        return similarity(image, photographs.reference(data, one.size).convert("RGB"))

    for one in make(data, sizes=(60, 64, 120, 128, 256), quality=100).thumbnails:
        [single] = make(data, sizes=(one.size,), quality=100).thumbnails
        assert quality(one) > quality(single) - 0.003


# --- Quality and metadata


@pytest.mark.parametrize("format", ["webp", "jpeg"])
def test_more_quality_makes_larger_and_better_thumbnails(format: str) -> None:
    data = photographs.photograph("rocket.tiff")
    expected = photographs.reference(data, 256)
    low, high = (
        make(data, sizes=(256,), format=format, quality=quality).thumbnails[0].data for quality in (10, 95)
    )
    assert len(low) < len(high) / 3
    assert photographs.difference(Image.open(io.BytesIO(low)), expected) > photographs.difference(
        Image.open(io.BytesIO(high)), expected
    )


@pytest.mark.parametrize("output", ["webp", "jpeg"])
@pytest.mark.parametrize("format", FORMATS)
def test_thumbnails_carry_no_metadata(format: str, output: str) -> None:
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
    for one in make(data, sizes=(100, 512), format=output).thumbnails:
        assert b"SECRET" not in one.data
        for mark in (b"Exif", b"EXIF", b"xmp", b"XMP", b"ICC"):
            assert mark not in one.data
        info = Image.open(io.BytesIO(one.data)).info
        assert not {"exif", "icc_profile", "xmp", "comment"} & {name for name, value in info.items() if value}
