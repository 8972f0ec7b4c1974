"""Version ids and upload ids as long as those of S3, which are no UUIDs.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/versioning-workflows.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateMultipartUpload.html
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from ministack.services import s3

from localaws.patching import around

_ALPHABET = string.ascii_letters + string.digits + "._"
_VERSION, _UPLOAD = 32, 128

# The length of the identifiers that are being made; 0 for UUIDs.
_length: ContextVar[int] = ContextVar("localaws_s3_identifiers", default=0)


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
