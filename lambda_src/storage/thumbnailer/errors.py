"""What can be wrong with a record for good.

The name of the class is the ``errorType`` in the failure queue, so it is part of what operators see.
"""

from shared.failures import PermanentFailure


class WouldRecurse(PermanentFailure):
    """The object lies where thumbnails are written: each thumbnail would raise a further event."""


class ObjectArchived(PermanentFailure):
    """The object is in an archive storage class, from which nothing can be read."""


class ObjectTooLarge(PermanentFailure):
    """The object has more bytes than are read."""


class EmptyObject(PermanentFailure):
    """The object has 0 bytes."""


class NotAnImage(PermanentFailure):
    """The object's bytes are of no format that is known here, whatever its key says."""


class UnsupportedFormat(PermanentFailure):
    """The object is a picture, in a format or a variant of one that is not decoded."""


class TooManyPixels(PermanentFailure):
    """The picture has more pixels than are decoded."""


class TooManyScans(PermanentFailure):
    """The progressive JPEG has so many scans that it was made to keep decoders busy."""


class DamagedImage(PermanentFailure):
    """The decoder gave up on the picture."""


class TruncatedImage(DamagedImage):
    """The picture ends before it is whole."""
