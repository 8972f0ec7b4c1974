"""Every format but common JPEG → libvips, which decodes in strips where it can instead of as a whole.

libvips was about 1.5 times as fast as Pillow with PNG and WebP (``benchmarks/README.md``), and it reads the
unusual variants correctly: 16 bits, floats, CMYK, CIELAB, palettes. Its wheel (8 MB) is loaded in a few
milliseconds when the first such picture arrives, so it does not slow the start.

ctypes, because PyPI has pyvips itself only as source, and handlers are built only from wheels. A dozen
functions of the library are used.

https://www.libvips.org/API/current/
"""

import os
import re
from ctypes import CDLL, POINTER, byref, c_char_p, c_double, c_int, c_size_t, c_void_p, string_at
from functools import cache
from importlib.util import find_spec
from typing import Any

from PIL import Image

from shared.failures import PermanentFailure

from .errors import DamagedImage, TruncatedImage, UnsupportedFormat
from .formats import Format
from .structure import damage_of_png
from .tiff import Tiff, read_tiff
from .xmp import orientation_in

_LOADERS = {
    Format.JPEG: "vips_jpegload_buffer",
    Format.PNG: "vips_pngload_buffer",
    Format.WEBP: "vips_webpload_buffer",
    Format.GIF: "vips_gifload_buffer",
    Format.TIFF: "vips_tiffload_buffer",
    Format.AVIF: "vips_heifload_buffer",
}

# Values of libvips's enumerations.
_FAIL_ON_ERROR = 2  # otherwise libvips fills missing parts of a file with black, without an error
_ACCESS_SEQUENTIAL = 1
_SIZE_FORCE = 3  # exactly the given size
_INTERPRETATION_SRGB = 22
_INTERPRETATION_RGB16 = 25
_INTERPRETATION_GREY16 = 26
_INTERPRETATION_SCRGB = 28
_FORMAT_USHORT = 2

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_MAX_BANDS = 8  # memory grows with each of them

# A WebP is decoded at this many times the wanted size: its own scaling is fast but coarse, and the last step,
# done by libvips, wins back half of the loss for a few per cent of the time.
_WEBP_HEADROOM = 1.25

_ENDS_EARLY = re.compile(
    "(premature|unexpected) end|bad seek|not enough data|read error|failed to read directory", re.IGNORECASE
)

_NOT_SUPPORTED = re.compile("not (configured|implemented|supported)|unsupported (?!marker)", re.IGNORECASE)

# Result and fixed arguments of the functions that are called. Those with options are variadic: on Apple
# silicon, options are passed in another way than fixed arguments, and ctypes knows them by ``argtypes``.
# https://docs.python.org/3/library/ctypes.html#calling-variadic-functions
_IMAGE, _RESULT = c_void_p, POINTER(c_void_p)
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    **dict.fromkeys(_LOADERS.values(), (c_int, [c_char_p, c_size_t, _RESULT])),
    "vips_thumbnail_image": (c_int, [_IMAGE, _RESULT, c_int]),
    "vips_colourspace": (c_int, [_IMAGE, _RESULT, c_int]),
    "vips_icc_export": (c_int, [_IMAGE, _RESULT]),
    "vips_extract_band": (c_int, [_IMAGE, _RESULT, c_int]),
    "vips_cast": (c_int, [_IMAGE, _RESULT, c_int]),
    "vips_copy": (c_int, [_IMAGE, _RESULT]),
    "vips_linear1": (c_int, [_IMAGE, _RESULT, c_double, c_double]),
    "vips_bandjoin2": (c_int, [_IMAGE, _IMAGE, _RESULT]),
    "vips_image_get_width": (c_int, [_IMAGE]),
    "vips_image_get_height": (c_int, [_IMAGE]),
    "vips_image_get_bands": (c_int, [_IMAGE]),
    "vips_image_get_orientation": (c_int, [_IMAGE]),
    "vips_image_get_typeof": (c_size_t, [_IMAGE, c_char_p]),
    "vips_image_get_blob": (c_int, [_IMAGE, c_char_p, POINTER(c_void_p), POINTER(c_size_t)]),
    "vips_image_set_int": (None, [_IMAGE, c_char_p, c_int]),
    "vips_image_write_to_memory": (c_void_p, [_IMAGE, POINTER(c_size_t)]),
    "vips_error_buffer": (c_char_p, []),
    "vips_error_clear": (None, []),
    "vips_init": (c_int, [c_char_p]),
    "vips_concurrency_set": (None, [c_int]),
    "vips_cache_set_max": (None, [c_int]),
    "g_object_unref": (None, [c_void_p]),
    "g_free": (None, [c_void_p]),
}


class VipsPicture:
    """A picture whose header has been read.

    Args:
        data: The bytes of the picture.
        format: Their format. Only the decoder of this format is tried.

    Raises:
        DamagedImage: The header cannot be read.
        UnsupportedFormat: It has channels that are not colours.

    Attributes:
        width (int): In pixels, after the orientation is applied.
        height (int): Likewise.
    """

    def __init__(self, data: bytes, format: Format) -> None:
        self._vips = _library()
        self._data = data  # libvips reads from this buffer as long as the image exists
        self._format = format
        self._image = c_void_p()
        self._tiff = read_tiff(data) if format is Format.TIFF else None
        options: list[object] = []
        if self._tiff:
            options += [b"page", c_int(self._tiff.page)]
            options += [] if self._tiff.child is None else [b"subifd", c_int(self._tiff.child)]
        self._image = self._load(*options)
        stored = self._vips.vips_image_get_width(self._image), self._vips.vips_image_get_height(self._image)
        on_its_side = self._vips.vips_image_get_orientation(self._image) >= 5
        self.width, self.height = reversed(stored) if on_its_side else stored
        self._check_bands(_MAX_BANDS)
        if self._tiff:
            self._interpret(self._tiff)

    def decode(self, size: tuple[int, int]) -> Image.Image:
        """Return the picture upright, in sRGB, at exactly this size, which must not exceed its own.

        Raises:
            TruncatedImage: It ends too early.
            DamagedImage: It cannot be decoded.
        """
        width, height = size
        self._scale_on_load(min(self.width / width, self.height / height))
        options: list[object] = [b"height", c_int(height), b"size", c_int(_SIZE_FORCE)]
        if self._has_profile and not (self._tiff and self._tiff.is_ycbcr):
            options += [b"output_profile", b"srgb"]
        self._replace(self._run("vips_thumbnail_image", c_int(width), *options))
        self._replace(self._run("vips_colourspace", c_int(_INTERPRETATION_SRGB)))
        self._check_bands(max(_MODES))
        return self._pixels()

    @property
    def _has_profile(self) -> bool:
        return bool(self._vips.vips_image_get_typeof(self._image, b"icc-profile-data"))

    def _interpret(self, tiff: Tiff) -> None:
        """Give the channels of a TIFF their meaning: libvips takes extra ones for transparency."""
        grey = self._vips.vips_image_get_bands(self._image) < 3 or tiff.colours == 1
        if tiff.colours is not None:
            colours = self._run("vips_extract_band", c_int(0), b"n", c_int(tiff.colours))
            if tiff.alpha is not None:
                colours = self._join(colours, self._run("vips_extract_band", c_int(tiff.alpha)))
            self._replace(colours)
        if tiff.is_lab:  # relative to the white of a profile, which libvips's own conversion ignores
            self._replace(self._run("vips_icc_export", b"output_profile", b"srgb"))
        elif tiff.is_float and self._has_profile:
            # The profile is about values from 0 to 1, which libvips would take for 0 to 255.
            self._replace(self._run("vips_linear1", c_double(65_535), c_double(0)))
            self._replace(self._run("vips_cast", c_int(_FORMAT_USHORT)))
            space = _INTERPRETATION_GREY16 if grey else _INTERPRETATION_RGB16
            self._replace(self._run("vips_copy", b"interpretation", c_int(space)))
        elif tiff.is_float and grey:
            # Linear light, as in colour pictures; libvips knows that only of red, green and blue.
            one = [self._run("vips_extract_band", c_int(0)) for _ in range(3)]
            colours = self._join(self._join(one[0], one[1]), one[2])
            if tiff.alpha is not None:
                colours = self._join(colours, self._run("vips_extract_band", c_int(1)))
            self._replace(colours)
            self._replace(self._run("vips_copy", b"interpretation", c_int(_INTERPRETATION_SCRGB)))

    def _join(self, one: c_void_p, other: c_void_p) -> c_void_p:
        """Join the channels of two images, and release both."""
        result = c_void_p()
        failed = self._vips.vips_bandjoin2(one, other, byref(result), c_void_p())
        self._vips.g_object_unref(one)
        self._vips.g_object_unref(other)
        if failed:
            raise self._error("the {} cannot be decoded")
        return result

    def close(self) -> None:
        """Release the image."""
        if self._image:
            self._vips.g_object_unref(self._image)
            self._image = c_void_p()

    def _load(self, *options: object) -> c_void_p:
        image = c_void_p()
        load = getattr(self._vips, _LOADERS[self._format])
        always = (b"fail_on", c_int(_FAIL_ON_ERROR), b"access", c_int(_ACCESS_SEQUENTIAL))
        if load(self._data, c_size_t(len(self._data)), byref(image), *always, *options, c_void_p()):
            raise self._error("the header of the {} cannot be read")
        if self._format is not Format.AVIF:  # which says itself how it is turned
            self._take_orientation_of_xmp(image)
        return image

    def _take_orientation_of_xmp(self, image: c_void_p) -> None:
        """Set the orientation as XMP says it, unless EXIF or the format says it."""
        given = self._vips.vips_image_get_typeof(image, b"orientation")
        if self._tiff.is_turned if self._tiff else given:
            return
        xmp, length = c_void_p(), c_size_t()
        if self._vips.vips_image_get_typeof(image, b"xmp-data") and not self._vips.vips_image_get_blob(
            image, b"xmp-data", byref(xmp), byref(length)
        ):
            turned = orientation_in(string_at(xmp, length.value))
            self._vips.vips_image_set_int(image, b"orientation", turned)

    def _scale_on_load(self, factor: float) -> None:
        """Let the decoder itself shrink the picture where it can, by at most this factor."""
        if self._format is Format.WEBP and factor > _WEBP_HEADROOM:
            self._replace(self._load(b"scale", c_double(_WEBP_HEADROOM / factor)))
        elif self._format is Format.JPEG and factor >= 2:
            shrink = next(shrink for shrink in (8, 4, 2) if shrink <= factor)
            self._replace(self._load(b"shrink", c_int(shrink)))

    def _check_bands(self, most: int) -> None:
        bands = self._vips.vips_image_get_bands(self._image)
        if bands > most:
            self.close()
            raise UnsupportedFormat(f"the {self._format.value} has {bands:,} channels, which are not colours")

    def _run(self, operation: str, *arguments: object) -> c_void_p:
        """Run an operation on the image and return the result; a null pointer ends the options."""
        result = c_void_p()
        if getattr(self._vips, operation)(self._image, byref(result), *arguments, c_void_p()):
            raise self._error("the {} cannot be decoded")
        return result

    def _replace(self, image: c_void_p) -> None:
        self.close()
        self._image = image

    def _pixels(self) -> Image.Image:
        """Run the operations, which libvips has only recorded until now, and return the pixels."""
        length = c_size_t()
        memory = self._vips.vips_image_write_to_memory(self._image, byref(length))
        if not memory:
            raise self._error("the {} cannot be decoded")
        try:
            pixels = string_at(memory, length.value)
        finally:
            self._vips.g_free(c_void_p(memory))
        self._vips.vips_error_clear()  # it also holds errors that libvips recovered from
        size = self._vips.vips_image_get_width(self._image), self._vips.vips_image_get_height(self._image)
        mode = _MODES[self._vips.vips_image_get_bands(self._image)]
        mode = "YCbCr" if self._tiff and self._tiff.is_ycbcr else mode
        return Image.frombuffer(mode, size, pixels, "raw", mode, 0, 1)

    def _error(self, text: str) -> PermanentFailure | MemoryError:
        buffer = self._vips.vips_error_buffer().decode(errors="replace")
        self._vips.vips_error_clear()
        why = "; ".join(dict.fromkeys(line for line in buffer.splitlines() if line))[:500]
        # Not the picture's fault: the function has less memory than its limits require.
        if "out of memory -- size" in why:
            return MemoryError(why)
        if self._format is Format.PNG:
            why = damage_of_png(self._data)  # libvips gives no reason, or that there was an error
        if _NOT_SUPPORTED.search(why) and "Invalid input" not in why:  # which libheif says of damage
            return UnsupportedFormat(f"the {self._format.value} is of a kind that is not supported: {why}")
        kind = TruncatedImage if self._is_cut_off(why) else DamagedImage
        return kind(f"{text.format(self._format.value)}: {why or 'it breaks the rules of the format'}")

    def _is_cut_off(self, why: str) -> bool:
        """Whether the picture ends too early: by its structure where that is easy, else by the error."""
        if self._format is Format.PNG:
            return b"IEND" not in self._data[-64:]
        if self._format is Format.WEBP:
            return len(self._data) < int.from_bytes(self._data[4:8], "little") + 8
        return bool(_ENDS_EARLY.search(why))


@cache
def _library() -> CDLL:
    """Load libvips and initialise it, once."""
    found = find_spec("_libvips")  # the extension module of pyvips-binary, which is linked to the library
    if found is None or found.origin is None:
        raise ImportError("libvips is missing; add the package pyvips-binary to the function's dependencies")
    os.environ.setdefault("VIPS_WARNING", "0")  # warnings would go to stderr as plain text
    vips = CDLL(found.origin)
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(vips, name)
        function.restype, function.argtypes = result, arguments
    if vips.vips_init(b"thumbnailer"):
        raise ImportError(
            f"libvips cannot be initialised: {vips.vips_error_buffer().decode(errors='replace')}"
        )
    vips.vips_concurrency_set(c_int(1))  # one picture at a time, about one vCPU; threads cost memory
    vips.vips_cache_set_max(c_int(0))  # nothing of one picture is cached for the next
    return vips
