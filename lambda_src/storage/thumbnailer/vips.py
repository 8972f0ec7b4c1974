"""Every format but JPEG by way of libvips, which decodes in strips instead of as a whole where it can.

Why libvips: with PNG and WebP it was about half as fast again as Pillow (``benchmarks/README.md``), and it
reads the odd ones right: 16 bits, floats, CMYK, CIELAB, palettes. Its wheel (8 MB) is loaded when the first
such picture arrives, in a few milliseconds, so it does not slow the start.

Why ctypes: pyvips itself is on PyPI as source only, and handlers are built from wheels alone. Of the library
a dozen functions are needed.

https://www.libvips.org/API/current/
"""

import os
import re
from ctypes import CDLL, POINTER, byref, c_char_p, c_double, c_int, c_size_t, c_void_p, string_at
from functools import cache
from importlib.util import find_spec

from errors import DamagedImage, TruncatedImage, UnsupportedFormat
from formats import Format
from PIL import Image

_LOADERS = {
    Format.JPEG: "vips_jpegload_buffer",
    Format.PNG: "vips_pngload_buffer",
    Format.WEBP: "vips_webpload_buffer",
    Format.GIF: "vips_gifload_buffer",
    Format.TIFF: "vips_tiffload_buffer",
    Format.AVIF: "vips_heifload_buffer",
}

# Values of libvips's enumerations.
_FAIL_ON_ERROR = 2  # else what is missing in a file is filled with black, without a word
_ACCESS_SEQUENTIAL = 1
_SIZE_FORCE = 3  # exactly the size that was asked for
_INTERPRETATION_SRGB = 22

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_MAX_BANDS = 5  # CMYK with transparency; a TIFF may claim thousands, for each of its pixels

# A WebP is decoded at this many times the size that is wanted: its own scaling is fast but coarse, and the
# rest of the way, done by libvips, wins back half of the loss for a few per cent of the time.
_WEBP_HEADROOM = 1.25

_ENDS_EARLY = re.compile(
    "(premature|unexpected) end|bad seek|not enough data|read error|failed to read directory", re.IGNORECASE
)


class VipsPicture:
    """A picture of which only the header was read.

    Args:
        data: The bytes of the picture.
        format: Their format. No other decoder than this one's is tried.

    Raises:
        DamagedImage: The header cannot be read.
        UnsupportedFormat: It is an exotic variant of the format.

    Attributes:
        width (int): As a person sees the picture, after its orientation.
        height (int): Likewise.
    """

    def __init__(self, data: bytes, format: Format) -> None:
        self._vips = _library()
        self._data = data  # libvips reads from here as long as it has the image
        self._format = format
        self._image = self._load()
        stored = self._vips.vips_image_get_width(self._image), self._vips.vips_image_get_height(self._image)
        on_its_side = self._vips.vips_image_get_orientation(self._image) >= 5
        self.width, self.height = reversed(stored) if on_its_side else stored
        self._check_bands(_MAX_BANDS)

    def decode(self, size: tuple[int, int]) -> Image.Image:
        """Return the picture upright, in sRGB, and in exactly this size, which is not larger than its own.

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
        """Let go of the image."""
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
        """Let the decoder itself make the picture smaller, where it can, by at most this factor."""
        if self._format is Format.WEBP and factor > _WEBP_HEADROOM:
            self._replace(self._load(b"scale", c_double(_WEBP_HEADROOM / factor)))
        elif self._format is Format.JPEG and factor >= 2:
            shrink = next(shrink for shrink in (8, 4, 2) if shrink <= factor)
            self._replace(self._load(b"shrink", c_int(shrink)))

    def _check_bands(self, most: int) -> None:
        bands = self._vips.vips_image_get_bands(self._image)
        if bands > most:
            self.close()
            raise UnsupportedFormat(
                f"the {self._format.value} has {bands:,} channels, which is not read as colours"
            )

    def _run(self, operation: str, *arguments: object) -> c_void_p:
        """Run an operation from one image to another; the list of options ends with a null pointer."""
        result = c_void_p()
        if getattr(self._vips, operation)(self._image, byref(result), *arguments, c_void_p()):
            raise self._error("the {} cannot be decoded")
        return result

    def _replace(self, image: c_void_p) -> None:
        self.close()
        self._image = image

    def _pixels(self) -> Image.Image:
        """Let everything happen: until here, libvips has only written down what it will do."""
        length = c_size_t()
        memory = self._vips.vips_image_write_to_memory(self._image, byref(length))
        if not memory:
            raise self._error("the {} cannot be decoded")
        try:
            pixels = string_at(memory, length.value)
        finally:
            self._vips.g_free(c_void_p(memory))
        self._vips.vips_error_clear()  # it also notes what it could live with
        size = self._vips.vips_image_get_width(self._image), self._vips.vips_image_get_height(self._image)
        mode = _MODES[self._vips.vips_image_get_bands(self._image)]
        return Image.frombuffer(mode, size, pixels, "raw", mode, 0, 1)

    def _error(self, text: str) -> DamagedImage | MemoryError:
        said = self._vips.vips_error_buffer().decode(errors="replace")
        self._vips.vips_error_clear()
        why = "; ".join(dict.fromkeys(line for line in said.splitlines() if line))[:500]
        # No fault of the picture's: the function has less memory than its limits ask for.
        if "out of memory -- size" in why:
            return MemoryError(why)
        kind = TruncatedImage if self._is_cut_off(why) else DamagedImage
        return kind(f"{text.format(self._format.value)}: {why or 'libvips gives no reason'}")

    def _is_cut_off(self, said: str) -> bool:
        """Whether the picture ends too early: by its structure where that is easy, else by what was said."""
        if self._format is Format.PNG:
            return b"IEND" not in self._data[-64:]
        if self._format is Format.WEBP:
            return len(self._data) < int.from_bytes(self._data[4:8], "little") + 8
        return bool(_ENDS_EARLY.search(said))


@cache
def _library() -> CDLL:
    """Load libvips and set it up, once."""
    found = find_spec("_libvips")  # the extension module of pyvips-binary, which is linked to the library
    if found is None or found.origin is None:
        raise ImportError("libvips is missing: the package pyvips-binary belongs into the function")
    os.environ.setdefault("VIPS_WARNING", "0")  # its warnings would go to stderr, as plain text
    vips = CDLL(found.origin)
    vips.vips_error_buffer.restype = c_char_p
    vips.vips_image_get_typeof.restype = c_size_t
    vips.vips_image_get_typeof.argtypes = [c_void_p, c_char_p]
    vips.vips_image_write_to_memory.restype = c_void_p
    vips.vips_image_write_to_memory.argtypes = [c_void_p, POINTER(c_size_t)]
    if vips.vips_init(b"thumbnailer"):
        raise ImportError(f"libvips does not start: {vips.vips_error_buffer().decode(errors='replace')}")
    vips.vips_concurrency_set(c_int(1))  # one picture at a time on about one processor; threads cost memory
    vips.vips_cache_set_max(c_int(0))  # nothing of one picture stays for the next
    return vips
