"""S3: who may not list a bucket is not told which keys it lacks.

The emulator answers 404 to everybody, so an architecture that needs `s3:ListBucket` to tell a deleted object
from a missing permission would pass here without it.

Faithful to: GetObject and HeadObject of a key that is not there, or has a delete marker on top, are answered
403 unless the caller may `s3:ListBucket` on the bucket, by its own policies or the bucket's.
Not to: other operations on a missing key.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
"""

from __future__ import annotations

import uuid
from typing import Any

from ministack.core.iam_actions import access_denied_response
from ministack.core.iam_evaluator import AuthError, enforce
from ministack.core.responses import get_region
from ministack.core.router import extract_access_key_id
from ministack.services import s3

_ACTION = "s3:ListBucket"


def install() -> None:
    """Ask for one more permission before a 404."""
    stock = s3.handle_request

    async def answer(
        method: str,
        path: str,
        headers: dict[str, Any],
        body: bytes,
        query: dict[str, Any],
        *args: Any,
        **options: Any,
    ) -> Any:
        found = await stock(method, path, headers, body, query, *args, **options)
        if method not in ("GET", "HEAD") or found[0] != 404 or options.get("internal"):
            return found
        bucket, _, key = path.lstrip("/").partition("/")
        if not key or (method == "GET" and b"<Code>NoSuchKey</Code>" not in found[2]):
            return found
        return _refused(method, bucket, headers, query) or found

    s3.handle_request = answer


def _refused(method: str, bucket: str, headers: dict[str, Any], query: dict[str, Any]) -> Any:
    """The answer to a caller that may not list the bucket."""
    from ministack.app import AUTH

    if not AUTH:
        return None
    key = extract_access_key_id(headers, query)
    denied = enforce(key, _ACTION, "s3", get_region(), f"arn:aws:s3:::{bucket}")
    if denied is None or isinstance(denied, AuthError):
        return None
    status, answer_headers, body = access_denied_response(
        "s3", _ACTION, denied.principal_arn, str(uuid.uuid4()), headers=headers
    )
    return status, answer_headers, b"" if method == "HEAD" else body
