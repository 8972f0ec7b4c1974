"""Random identifiers with the alphabet and the length of AWS's.

The emulator cuts most identifiers out of UUIDs: `new_uuid()[:6]`, `new_uuid().replace("-", "")[:20].upper()`.
They have only hexadecimal digits, and are often too short. A bridge replaces the `new_uuid` of a module with
one that returns a `cut_text`, which says what is returned for which cut.
"""

from __future__ import annotations

import secrets
import string
import uuid
from collections.abc import Mapping
from typing import SupportsIndex

#: Alphabets. Ids of IAM and RDS have that of Base32, without 0, 1, 8 and 9.
BASE32 = string.ascii_uppercase + "234567"
ALPHANUMERIC = string.ascii_letters + string.digits
LOWER_CASE = string.ascii_lowercase + string.digits
HEXADECIMAL = "0123456789abcdef"
DIGITS = "123456789"


def identifier(alphabet: str, length: int) -> str:
    """A new identifier."""
    return "".join(secrets.choice(alphabet) for _ in range(length))


class _Text(str):
    cuts: Mapping[int, tuple[str, int]]

    def replace(self, old: str, new: str, count: SupportsIndex = -1) -> str:
        return cut_text(self.cuts, super().replace(old, new, count))

    def __getitem__(self, part: SupportsIndex | slice) -> str:
        if isinstance(part, slice) and part.start is None and part.stop in self.cuts:
            return identifier(*self.cuts[part.stop])
        return super().__getitem__(part)


def cut_text(cuts: Mapping[int, tuple[str, int]], value: str = "") -> str:
    """A text that is another identifier where the emulator cuts it; by default a new UUID.

    Args:
        cuts: For a number of characters, the alphabet and length of the identifier.
        value: The whole text.
    """
    text = _Text(value or str(uuid.uuid4()))
    text.cuts = cuts
    return text
