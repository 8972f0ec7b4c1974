"""Source key and size → the key of the thumbnail, which no other picture or size shares."""

import hashlib

from shared.s3_events import MAX_KEY_BYTES


def thumbnail_key(source_key: str, size: int, *, prefix: str, extension: str) -> str:
    """Return the key of a thumbnail: ``{prefix}{source key}/{size}.{extension}``.

    A key that would be too long is shortened to
    ``{prefix}{start of source key}/{sha256 of source key}-{size}.{extension}``. Two source keys never share
    a thumbnail: after the last slash, an ordinary key has only digits, a shortened one a hash as well.
    """
    key = f"{prefix}{source_key}/{size}.{extension}"
    if len(key.encode()) <= MAX_KEY_BYTES:
        return key
    tail = f"/{hashlib.sha256(source_key.encode()).hexdigest()}-{size}.{extension}"
    room = MAX_KEY_BYTES - len(prefix.encode()) - len(tail)
    start = source_key.encode()[:room].decode(errors="ignore")  # never half a character
    return f"{prefix}{start}{tail}"
