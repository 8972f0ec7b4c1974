"""Objects whose key of AWS KMS is disabled or about to be deleted cannot be read or written.

The emulator records the key of an object and never asks for its state.

Faithful to: GetObject, and every upload that uses the key, return `KMS.DisabledException` or
`KMS.KMSInvalidStateException` (400) while the key is disabled, or pending deletion or import. HeadObject is
allowed.
Not to: HeadObject with checksums, which AWS refuses; key policies and the caller's permissions on the key;
sources of copies; the minutes until S3 notices.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
https://docs.aws.amazon.com/kms/latest/developerguide/key-state.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ministack.services import kms, s3

from localaws.patching import around

_KEY = "x-amz-server-side-encryption-aws-kms-key-id"


@around(s3, "_get_object")
def _get_object(
    stock: Callable[..., Any],
    bucket_name: str,
    key: str,
    headers: dict[str, str],
    query_params: dict[str, Any] | None = None,
) -> Any:
    answer = stock(bucket_name, key, headers, query_params)
    return _refusal(answer[1].get(_KEY)) or answer if answer[0] < 300 else answer


@around(s3, "_resolve_sse_write_headers", after=["s3.buckets"])
def _resolve_sse_write_headers(stock: Callable[..., Any], headers: dict[str, str], bucket_name: str) -> Any:
    stored, error = stock(headers, bucket_name)
    refusal = None if error else _refusal(stored.get(_KEY))
    return (None, refusal) if refusal else (stored, error)


def _refusal(name: str | None) -> Any:
    """S3's error if a key cannot be used in its state; None if it can, or is one of AWS's own."""
    key = kms._resolve_key(name) if name else None
    if key is None or key["KeyState"] == "Enabled":
        return None
    if key["KeyState"] == "Disabled":
        return s3._error("KMS.DisabledException", f"{key['Arn']} is disabled.", 400)
    state = {"PendingDeletion": "pending deletion", "PendingImport": "pending import"}.get(
        key["KeyState"], "unavailable"
    )
    return s3._error("KMS.KMSInvalidStateException", f"{key['Arn']} is {state}.", 400)
