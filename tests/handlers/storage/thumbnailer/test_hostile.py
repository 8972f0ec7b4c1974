"""Any file is refused with the reason or made into thumbnails, in bounded memory."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.failures import PermanentFailure
from storage.thumbnailer.decoders import errors, formats, structure, vips
from storage.thumbnailer.decoders.errors import (
    DamagedImage,
    TooManyPixels,
    TooManyScans,
    TruncatedImage,
    UnsupportedFormat,
)
from storage.thumbnailer.decoders.formats import Format
from tests.handlers.storage.thumbnailer.heic import HEIC
from tests.handlers.storage.thumbnailer.hostile import (
    BOMBS,
    COSTLY,
    HEADERS,
    HUGE,
    MAX_PIXELS,
    Measured,
    gif_frames,
    many_scans,
    webp_frames,
    with_edges,
)
from tests.handlers.storage.thumbnailer.pictures import chunk, encode, make, quadrants

ROOT = Path(__file__).parents[4]

# Every kind of file that takes a code path of its own in a decoder.
WHOLE: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: encode(quadrants(), "JPEG"),
    "progressive JPEG": lambda: encode(quadrants(), "JPEG", progressive=True),
    "CMYK JPEG": lambda: encode(quadrants().convert("CMYK"), "JPEG"),
    "PNG": lambda: encode(quadrants(), "PNG"),
    "WebP": lambda: encode(quadrants(), "WEBP"),
    "lossless WebP": lambda: encode(quadrants(), "WEBP", lossless=True),
    "GIF": lambda: encode(quadrants(), "GIF"),
    "TIFF": lambda: encode(quadrants(), "TIFF"),
    "deflated TIFF": lambda: encode(quadrants(), "TIFF", compression="tiff_adobe_deflate"),
    "AVIF": lambda: encode(quadrants(), "AVIF"),
    "HEIC": lambda: HEIC,
}


@cache
def whole(kind: str) -> bytes:
    return WHOLE[kind]()


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_truncated_picture_is_refused(kind: str, share: float) -> None:
    data = whole(kind)
    with pytest.raises(TruncatedImage):
        make(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["PNG", "AVIF", "lossless WebP"])
def test_a_picture_with_a_hole_is_refused_where_the_format_can_tell(kind: str) -> None:
    data = whole(kind)
    hole = slice(len(data) // 2, len(data) // 2 + 20)
    spoiled = data[: hole.start] + bytes(20) + data[hole.stop :]
    with pytest.raises(DamagedImage):
        make(spoiled)


@settings(max_examples=200)
@example(kind="HEIC", cut=0.734375, flips=[(0.734375, 1)])  # a picture of 0 x 0 pixels
@example(kind="HEIC", cut=0.859375, flips=[(0.0, 1), (0.0, 1), (0.3515625, 1)])  # a file without picture
@given(
    kind=st.sampled_from(sorted(WHOLE)),
    cut=st.floats(0, 1),
    flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=4),
)
def test_any_damage_to_a_picture_is_refused_or_decoded(
    kind: str, cut: float, flips: list[tuple[float, int]]
) -> None:
    data = bytearray(whole(kind)[: int(len(whole(kind)) * cut)])
    for place, bits in flips if data else []:
        data[int(len(data) * place)] ^= bits
    try:
        made = make(bytes(data))
    except PermanentFailure as failure:
        said = str(failure)
    else:
        said = ""
        assert len(made.thumbnails) == 1
    assert len(said) < 700


@given(
    data=st.binary(max_size=200), start=st.sampled_from([whole(kind)[:12] for kind in sorted(WHOLE)] + [b""])
)
def test_noise_is_refused(data: bytes, start: bytes) -> None:
    with pytest.raises(PermanentFailure):
        make(start + data)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", "EmptyObject", "the object has 0 bytes"),
        (b"Dear Sir or Madam", "NotAnImage", "JPEG, PNG, WebP, GIF, TIFF, AVIF and HEIC are decoded"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'/>",
            "NotAnImage",
            "the first bytes are not those of a picture",
        ),
        (b"%PDF-1.7", "NotAnImage", "the first bytes are not those of a picture"),
        (b"BM" + bytes(50), "UnsupportedFormat", "a BMP picture"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "NotAnImage", "a video or another container"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "UnsupportedFormat", "a JPEG XL picture"),
    ],
)
def test_files_that_are_not_decoded_are_refused_with_what_they_are(
    data: bytes, error: str, message: str
) -> None:
    with pytest.raises(getattr(errors, error), match=message):
        make(data)


def test_only_the_first_bytes_decide_which_decoder_is_tried() -> None:
    """An SVG behind the first bytes of a PNG is a PNG that is damaged: no other decoder is tried."""
    with pytest.raises(DamagedImage, match="the header of the png cannot be read"):
        make(whole("PNG")[:8] + b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")


def test_too_little_memory_is_not_blamed_on_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    class Starved:
        """libvips that gets no memory for the pixels."""

        def __init__(self) -> None:
            self._real = vips._library()

        def __getattr__(self, name: str) -> object:
            return getattr(self._real, name)

        def vips_image_write_to_memory(self, *_: object) -> None:
            return None

        def vips_error_buffer(self) -> bytes:
            return b"vips_tracked: out of memory -- size == 10MB\n"

    starved = Starved()
    monkeypatch.setattr(vips, "_library", lambda: starved)
    with pytest.raises(MemoryError, match="size == 10MB"):
        make(whole("PNG"))


def test_what_was_said_of_one_picture_is_not_said_of_the_next() -> None:
    make(whole("AVIF"))  # read with several "bad seek", none of which matters
    with pytest.raises(DamagedImage) as caught:
        make(whole("GIF")[:13] + bytes(40))
    assert "bad seek" not in str(caught.value)


def test_as_many_pixels_as_are_allowed_are_decoded_and_one_row_more_is_not() -> None:
    assert make(whole("PNG"), max_pixels=200 * 150)
    with pytest.raises(TooManyPixels, match=r"200 x 150 pixels; at most 29,999 pixels of a png"):
        make(whole("PNG"), max_pixels=200 * 150 - 1)


@pytest.mark.parametrize("kind", ["AVIF", "HEIC"])
def test_some_formats_take_twice_the_memory_so_half_as_many_pixels_are_decoded(kind: str) -> None:
    assert make(whole(kind), max_pixels=200 * 150 * 2)
    with pytest.raises(TooManyPixels):
        make(whole(kind), max_pixels=200 * 150 * 2 - 1)


@pytest.mark.parametrize("edges", [(200, 150), (8000, 8000)])
def test_a_jpeg_with_as_many_scans_as_encoders_ever_write_is_decoded(edges: tuple[int, int]) -> None:
    structure.decodable(with_size(many_scans(10), edges), Format.JPEG)
    assert make(many_scans(100))


def test_the_larger_a_jpeg_is_the_fewer_scans_it_may_have() -> None:
    """Each scan passes over all of its pixels."""
    with pytest.raises(TooManyScans, match="more than 20 scans"):
        structure.decodable(with_size(many_scans(30), (8000, 8000)), Format.JPEG)


def with_size(jpeg: bytes, edges: tuple[int, int]) -> bytes:
    return with_edges(jpeg, b"\xff\xc2", 5, ">HH", *edges)


UNSUPPORTED: dict[str, tuple[Callable[[], bytes], str]] = {
    "lossless JPEG": (lambda: jpeg_frame(kind=0xC3), "the jpeg is lossless"),
    "hierarchical JPEG": (lambda: jpeg_frame(kind=0xC5), "the jpeg is hierarchical or lossless"),
    "JPEG-LS": (lambda: jpeg_frame(kind=0xF7), "the jpeg is JPEG-LS"),
    "JPEG of 12 bits": (lambda: jpeg_frame(kind=0xC1, precision=12), "samples of 12 bits; only 8"),
    "JPEG of 2 channels": (lambda: jpeg_frame(channels=2), "2 channels; only 1, 3 and 4"),
    "PNG of Xcode": (lambda: after_signature(chunk(b"CgBI", b"P\0 \2")), "the png is one of Xcode's"),
}


def jpeg_frame(kind: int = 0xC0, precision: int = 8, channels: int = 3) -> bytes:
    data = bytearray(whole("JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 1], data[frame + 4], data[frame + 9] = kind, precision, channels
    return bytes(data)


def after_signature(more: bytes) -> bytes:
    return whole("PNG")[:8] + more + whole("PNG")[8:]


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_what_no_decoder_supports_is_not_called_damaged(kind: str) -> None:
    content, reason = UNSUPPORTED[kind]
    with pytest.raises(UnsupportedFormat, match=reason):
        make(content())


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        (24, "the checksum of the chunk 'IHDR' is wrong"),
        (50, "the checksum of the chunk 'IDAT' is wrong"),
        (33, "the chunk 'IDAT' goes beyond the end of the file"),
    ],
)
def test_a_damaged_png_is_refused_with_the_reason_that_libvips_does_not_give(place: int, reason: str) -> None:
    data = bytearray(whole("PNG"))
    data[place] ^= 0x40
    with pytest.raises(DamagedImage) as caught:
        make(bytes(data))
    assert reason in str(caught.value)


@pytest.mark.parametrize("animation", [webp_frames, gif_frames])
def test_only_the_first_frame_of_an_animation_reaches_the_decoder(
    animation: Callable[[int], bytes],
) -> None:
    first = structure.decodable(animation(100), formats.sniff(animation(1)))
    assert len(first) == len(animation(1))
    assert make(animation(100)).thumbnails == make(animation(1)).thumbnails


def test_every_function_of_libvips_declares_its_arguments() -> None:
    """On Apple silicon, options of a variadic function arrive only if its other arguments are declared."""
    source = Path(vips.__file__).read_text()
    called = set(re.findall(r"(?:_vips|vips)\.(vips_\w+|g_\w+)\(", source))
    called |= set(re.findall(r'_run\(\s*"(\w+)"', source)) | set(vips._LOADERS.values())
    assert called == set(vips._FUNCTIONS)
    library = vips._library()
    for name, (result, arguments) in vips._FUNCTIONS.items():
        function = getattr(library, name)
        assert (function.restype, list(function.argtypes)) == (result, arguments)


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Measured]:
    """The result for each file, and the memory that it took, each measured in a process of its own."""
    if sys.platform != "linux":
        pytest.skip("memory is read from /proc, which only Linux has")
    folder = tmp_path_factory.mktemp("files")
    headers = {kind: content for kind, (content, _) in HEADERS.items()}
    files = {**HUGE_NAMES, **BOMBS, **COSTLY_NAMES, **headers, LEAKS: many_times}
    paths = []
    for number, content in enumerate(files.values()):
        times = 60 if number == len(files) - 1 else 1
        paths.append(folder / f"{number}.{times}")
        paths[-1].write_bytes(content())
    command = [sys.executable, "-B", "-m", "tests.handlers.storage.thumbnailer.hostile"]
    done = subprocess.run(
        [*command, *map(str, paths)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT / "lambda_src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [Measured(**json.loads(line)) for line in done.stdout.splitlines()]
    return dict(zip(files, lines, strict=True))


HUGE_NAMES = {f"huge {kind}": content for kind, content in HUGE.items()}
COSTLY_NAMES = {f"costly {kind}": content for kind, content in COSTLY.items()}
LEAKS = "many times the same"


def many_times() -> bytes:
    return encode(quadrants(500, 500), "PNG")


MB = 2**20


@pytest.mark.parametrize("kind", HUGE_NAMES)
def test_a_header_that_promises_too_many_pixels_is_refused_before_anything_is_decoded(
    measured: dict[str, Measured], kind: str
) -> None:
    assert measured[kind].outcome == "TooManyPixels", measured[kind]
    assert measured[kind].memory < 30 * MB


@pytest.mark.parametrize(
    ("kind", "outcome"),
    {
        "profile": "made",
        "text": "made",
        "pixels": "made",
        "strip": "made",
        "channels": "UnsupportedFormat",
        "scans": "TooManyScans",
        "AVIF that is larger than it says": "TruncatedImage",
        "HEIC that is larger than it says": "DamagedImage",
    }.items(),
)
def test_a_file_that_unpacks_to_far_more_than_its_header_says_takes_little_memory(
    measured: dict[str, Measured], kind: str, outcome: str
) -> None:
    assert measured[kind].outcome == outcome, measured[kind]
    assert measured[kind].memory < 40 * MB


@pytest.mark.parametrize("kind", HEADERS)
def test_a_header_of_millions_of_parts_costs_less_than_a_second(
    measured: dict[str, Measured], kind: str
) -> None:
    assert measured[kind].outcome == HEADERS[kind][1], measured[kind]
    assert measured[kind].seconds < 1
    assert measured[kind].memory < 100 * MB


@pytest.mark.parametrize("kind", COSTLY_NAMES)
def test_memory_stays_within_twelve_bytes_for_each_pixel_that_is_allowed(
    measured: dict[str, Measured], kind: str
) -> None:
    assert measured[kind].outcome == "made", measured[kind]
    assert measured[kind].memory < 12 * MAX_PIXELS + 40 * MB


@pytest.mark.parametrize(("kind", "most"), [("baseline JPEG", 15), ("16-bit PNG", 45)])
def test_pictures_that_are_decoded_in_strips_take_less_memory_than_all_of_their_pixels(
    measured: dict[str, Measured], kind: str, most: int
) -> None:
    assert measured[f"costly {kind}"].memory < most * MB


def test_decoding_leaks_no_memory(measured: dict[str, Measured]) -> None:
    assert measured[LEAKS].outcome == "made"
    assert measured[LEAKS].memory < 25 * MB
