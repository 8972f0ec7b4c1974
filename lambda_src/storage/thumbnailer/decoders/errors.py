"""Why a picture cannot be decoded; no retry changes that.

::

    PermanentFailure
    ├── EmptyObject
    ├── NotAnImage
    ├── UnsupportedFormat
    ├── TooManyPixels
    ├── TooManyScans
    ├── TooManyParts
    └── DamagedImage
        └── TruncatedImage

The name of the class is the ``errorType`` in the failure queue: operators see it.
"""

from shared.failures import PermanentFailure


class EmptyObject(PermanentFailure):
    """There are 0 bytes."""


class NotAnImage(PermanentFailure):
    """The bytes are in no known format, whatever the object's key says."""


class UnsupportedFormat(PermanentFailure):
    """The bytes are a picture in a format, or a variant of one, that is not decoded."""


class TooManyPixels(PermanentFailure):
    """The picture exceeds the pixel limit."""


class TooManyScans(PermanentFailure):
    """The progressive JPEG has so many scans that it can only be meant to exhaust decoders."""


class TooManyParts(PermanentFailure):
    """The file has so many segments, chunks or pages that it can only be meant to exhaust decoders."""


class DamagedImage(PermanentFailure):
    """The picture cannot be decoded."""


class TruncatedImage(DamagedImage):
    """The picture ends too early."""
