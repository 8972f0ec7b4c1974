"""Query strings and bodies ⇄ their text in the JSON of events and responses, the same for every front."""

import base64
import binascii
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_plus

from .messages import HttpError


def decode_parameter(encoded: str) -> str:
    """Decode a name or value of a query string, in which forms and most HTTP clients write a space as "+".

    Raises:
        HttpError: 400, it is not UTF-8.
    """
    try:
        return unquote_plus(encoded, errors="strict")
    except UnicodeDecodeError:
        detail = f"the query string: {encoded!r} is not percent-encoded UTF-8"
        raise HttpError(HTTPStatus.BAD_REQUEST, detail) from None


def read_body(event: Mapping[str, Any]) -> bytes:
    """Return the body of an event, as the client sent it.

    Raises:
        HttpError: 400, it cannot be decoded.
    """
    body: str = event.get("body") or ""
    try:
        return base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
    except (binascii.Error, ValueError):  # a UnicodeEncodeError is a ValueError
        raise HttpError(HTTPStatus.BAD_REQUEST, "the body could not be decoded") from None


def write_body(content: bytes) -> tuple[str, bool]:
    """Return the body for the JSON, and whether it is base64: ASCII as text, unless base64 is shorter.

    Other text is base64 too: its size as JSON depends on who writes the JSON.
    """
    encoded = base64.b64encode(content).decode()
    if content.isascii():
        text = content.decode("ascii")
        if len(json.dumps(text)) <= len(encoded) + 2:
            return text, False
    return encoded, True
