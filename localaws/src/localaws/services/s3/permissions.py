"""A missing key is reported only to callers that may list the bucket.

The emulator answers 404 to every caller, so an architecture that needs `s3:ListBucket` to distinguish a
deleted object from a missing permission would pass here without it.

Faithful to: GetObject and HeadObject of a key that does not exist, or whose current version is a delete
marker, return 403 unless the caller may `s3:ListBucket` on the bucket, by its own policies or the bucket's.
Not to: other operations on a missing key.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from ministack.core import iam_evaluator
from ministack.core.iam_actions import access_denied_response
from ministack.core.responses import get_region
from ministack.core.router import extract_access_key_id
from ministack.services import s3

from localaws.patching import around
from localaws.services.iam.roles import iam_is_enforced

_ACTION = "s3:ListBucket"


@around(s3, "handle_request")
async def _handle_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, Any],
    body: bytes,
    query_params: dict[str, Any],
    *args: Any,
    **more: Any,
) -> Any:
    found = await stock(method, path, headers, body, query_params, *args, **more)
    if method not in ("GET", "HEAD") or found[0] != 404 or more.get("internal"):
        return found
    bucket, _, key = path.lstrip("/").partition("/")
    if not key or (method == "GET" and b"<Code>NoSuchKey</Code>" not in found[2]):
        return found
    return _refused(method, bucket, headers, query_params) or found


def _refused(method: str, bucket: str, headers: dict[str, Any], query: dict[str, Any]) -> Any:
    """The response to a caller that may not list the bucket; None if it may."""
    if not iam_is_enforced():
        return None
    key = extract_access_key_id(headers, query)
    denied = iam_evaluator.enforce(key, _ACTION, "s3", get_region(), f"arn:aws:s3:::{bucket}")
    if denied is None or isinstance(denied, iam_evaluator.AuthError):
        return None
    status, answer_headers, body = access_denied_response(
        "s3", _ACTION, denied.principal_arn, str(uuid.uuid4()), headers=headers
    )
    return status, answer_headers, b"" if method == "HEAD" else body
