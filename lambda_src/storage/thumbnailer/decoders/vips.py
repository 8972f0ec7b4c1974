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

from PIL import Image

from .errors import DamagedImage, TruncatedImage, UnsupportedFormat
from .formats import Format

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

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_MAX_BANDS = 5  # CMYK with transparency; a TIFF may claim thousands per pixel

# A WebP is decoded at this many times the wanted size: its own scaling is fast but coarse, and the last step,
# done by libvips, wins back half of the loss for a few per cent of the time.
_WEBP_HEADROOM = 1.25

_ENDS_EARLY = re.compile(
    "(premature|unexpected) end|bad seek|not enough data|read error|failed to read directory", re.IGNORECASE
)


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
        self._image = self._load()
        stored = self._vips.vips_image_get_width(self._image), self._vips.vips_image_get_height(self._image)
        on_its_side = self._vips.vips_image_get_orientation(self._image) >= 5
        self.width, self.height = reversed(stored) if on_its_side else stored
        self._check_bands(_MAX_BANDS)

    def decode(self, size: tuple[int, int]) -> Image.Image:
        """Return the picture upright, in sRGB, at exactly this size, which must not exceed its own.

        Raises:
            TruncatedImage: It ends too early.
            DamagedImage: It cannot be decoded.
        """
        width, height = size
        self._scale_on_load(min(self.width / width, self.height / height))
        options: list[object] = [b"height", c_int(height), b"size", c_int(_SIZE_FORCE)]
        if self._vips.vips_image_get_typeof(self._image, b"icc-profile-data"):
            options += [b"output_profile", b"srgb"]
        self._replace(self._run("vips_thumbnail_image", c_int(width), *options))
        self._replace(self._run("vips_colourspace", c_int(_INTERPRETATION_SRGB)))
        self._check_bands(max(_MODES))
        return self._pixels()

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
        return image

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
        return Image.frombuffer(mode, size, pixels, "raw", mode, 0, 1)

    def _error(self, text: str) -> DamagedImage | MemoryError:
        buffer = self._vips.vips_error_buffer().decode(errors="replace")
        self._vips.vips_error_clear()
        why = "; ".join(dict.fromkeys(line for line in buffer.splitlines() if line))[:500]
        # Not the picture's fault: the function has less memory than its limits require.
        if "out of memory -- size" in why:
            return MemoryError(why)
        kind = TruncatedImage if self._is_cut_off(why) else DamagedImage
        return kind(f"{text.format(self._format.value)}: {why or 'libvips reported no reason'}")

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
    vips.vips_error_buffer.restype = c_char_p
    vips.vips_image_get_typeof.restype = c_size_t
    vips.vips_image_get_typeof.argtypes = [c_void_p, c_char_p]
    vips.vips_image_write_to_memory.restype = c_void_p
    vips.vips_image_write_to_memory.argtypes = [c_void_p, POINTER(c_size_t)]
    if vips.vips_init(b"thumbnailer"):
        raise ImportError(
            f"libvips cannot be initialised: {vips.vips_error_buffer().decode(errors='replace')}"
        )
    vips.vips_concurrency_set(c_int(1))  # one picture at a time, about one vCPU; threads cost memory
    vips.vips_cache_set_max(c_int(0))  # nothing of one picture is cached for the next
    return vips
