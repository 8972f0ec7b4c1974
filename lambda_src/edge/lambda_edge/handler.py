"""GET /resize?key=…&width=… → PNG of that width from the bucket: an origin, behind the cache.

A real one decodes more than PNG with 8 bits for each of three colours: see the thumbnailer of this library.
"""

import base64
import json
import logging
import os
import re
import struct
import zlib
from functools import cache
from typing import Any

import boto3
from botocore.exceptions import ClientError

_LOGGER = logging.getLogger()
_LOGGER.setLevel(logging.INFO)

_WIDTH = re.compile("[0-9]{1,4}")  # other scripts have digits, too
_LARGEST = 50_000_000  # bytes of pixels, in memory
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


class NotAPictureError(ValueError):
    """The object is no PNG that this function reads."""


@cache
def _s3() -> Any:
    return boto3.client("s3")


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer an event of a function URL, in payload format 2.0."""
    query = event.get("queryStringParameters") or {}
    key, width = query.get("key", ""), query.get("width", "")
    if not key.startswith("images/") or not (_WIDTH.fullmatch(width) and 0 < int(width) <= 4_096):
        return _answer(400, b"key and width are needed", "text/plain")
    try:
        picture = _s3().get_object(Bucket=os.environ["BUCKET_NAME"], Key=key)["Body"].read()
        return _answer(200, narrowed(picture, int(width)), "image/png")
    except NotAPictureError as error:
        return _answer(415, str(error).encode(), "text/plain")
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchKey", "AccessDenied"):
            raise
        # S3 says so of a missing object, too, because the role may not list the bucket.
        _LOGGER.warning(json.dumps({"message": "no image", "key": key, "error": str(error)}))
        return _answer(404, b"no such image", "text/plain")


def _answer(status: int, body: bytes, content_type: str) -> dict[str, Any]:
    headers = {"content-type": content_type, "cache-control": "public, max-age=86400"}
    return {
        "statusCode": status,
        "headers": headers if status == 200 else {**headers, "cache-control": "no-store"},
        "body": base64.b64encode(body).decode(),
        "isBase64Encoded": True,
    }


def narrowed(picture: bytes, width: int) -> bytes:
    """A PNG that is not wider, by leaving out pixels.

    Raises:
        NotAPictureError: It is not a PNG with 8 bits for each of three colours and unfiltered rows.
    """
    if len(picture) < 33 or picture[:8] != _SIGNATURE or picture[12:16] != b"IHDR":
        raise NotAPictureError("not a PNG")
    had, height, *kind = struct.unpack(">IIBBBBB", picture[16:29])
    line = had * 3 + 1
    size = line * height
    if kind != [8, 2, 0, 0, 0] or not had or not 0 < size <= _LARGEST:
        raise NotAPictureError(f"not 8 bits for each of three colours, or more than {_LARGEST} bytes")
    try:
        rows = zlib.decompressobj().decompress(_data(picture), size)
    except zlib.error as error:
        raise NotAPictureError(str(error)) from error
    if len(rows) < size:
        raise NotAPictureError("incomplete")
    if any(rows[line * y] for y in range(height)):
        raise NotAPictureError("a filtered row")
    width = min(width, had)
    tall = max(1, height * width // had)
    kept = bytearray()
    for y in range(tall):
        start = line * (y * height // tall) + 1
        row = rows[start : start + line]
        kept += b"\0"
        for x in range(width):
            kept += row[x * had // width * 3 :][:3]
    return png(width, tall, bytes(kept))


def _data(picture: bytes) -> bytes:
    data, position = b"", 8
    while position + 8 <= len(picture):
        (size,) = struct.unpack(">I", picture[position : position + 4])
        if picture[position + 4 : position + 8] == b"IDAT":
            data += picture[position + 8 : position + 8 + size]
        position += size + 12
    return data


def png(width: int, height: int, rows: bytes) -> bytes:
    """A PNG of rows, each with the byte of its filter before it."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ]
    return _SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    )
