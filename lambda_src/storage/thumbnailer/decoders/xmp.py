"""XMP → the orientation of a picture, which some programs write there and not into EXIF.

https://developer.adobe.com/xmp/docs/XMPNamespaces/tiff/ (tiff:Orientation)
"""

import re

_ORIENTATION = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\s*["'<]""")


def orientation_in(xmp: bytes) -> int:
    """Return the orientation, as EXIF numbers it; 1 (upright) if there is none."""
    found = _ORIENTATION.search(xmp)
    return int(found[1]) if found else 1
