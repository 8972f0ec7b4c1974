"""Version ids, upload ids and request ids as long as those of S3, which are no UUIDs.

Faithful to: length and alphabet.
Not to: how AWS makes them.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/get-request-ids.html
"""

from __future__ import annotations

import base64
import re
import secrets
import string
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any

from ministack.services import s3

from localaws.patching import around

_ALPHABET = string.ascii_letters + string.digits + "._"
_REQUEST_ID = re.compile(rb"<RequestId>[0-9a-f-]{36}</RequestId>")
_VERSION, _UPLOAD = 32, 128
_SSE = "x-amz-server-side-encryption"

# The length of the identifiers that are being made; 0 for UUIDs.
_length: ContextVar[int] = ContextVar("localaws_s3_identifiers", default=0)


@around(s3, "handle_request", after=["s3.listing", "s3.permissions"])
async def _handle_request(stock: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
    status, headers, body = await stock(*args, **more)
    request_id = headers.get("x-amz-request-id", "")
    if not re.fullmatch(r"[A-Z0-9]{16}", request_id):
        request_id = secrets.token_hex(8).upper()
    if status >= 300 and isinstance(body, bytes):
        body = _REQUEST_ID.sub(f"<RequestId>{request_id}</RequestId>".encode(), body)
    host_id = headers.get("x-amz-id-2") or base64.b64encode(secrets.token_bytes(57)).decode()
    if status < 300 and "etag" in map(str.lower, headers) and _SSE not in map(str.lower, headers):
        headers = {**headers, _SSE: "AES256"}  # the default since 2023
    return status, {**headers, "x-amz-request-id": request_id, "x-amz-id-2": host_id}, body


@around(s3, "new_uuid")
def _new_uuid(stock: Callable[[], str]) -> str:
    length = _length.get()
    return "".join(secrets.choice(_ALPHABET) for _ in range(length)) if length else stock()


@around(s3, "_record_object_version")
def _record_object_version(stock: Callable[..., Any], *args: Any, **more: Any) -> Any:
    return _with_identifiers(_VERSION, stock, *args, **more)


@around(s3, "_record_delete_marker")
def _record_delete_marker(
    stock: Callable[..., str], bucket_name: str, key: str, prior_obj: dict[str, Any] | None
) -> str:
    return str(_with_identifiers(_VERSION, stock, bucket_name, key, prior_obj))


@around(s3, "_create_multipart_upload")
def _create_multipart_upload(
    stock: Callable[..., Any], bucket_name: str, key: str, headers: dict[str, str]
) -> Any:
    return _with_identifiers(_UPLOAD, stock, bucket_name, key, headers)


def _with_identifiers(length: int, stock: Callable[..., Any], *args: Any, **more: Any) -> Any:
    token = _length.set(length)
    try:
        return stock(*args, **more)
    finally:
        _length.reset(token)
