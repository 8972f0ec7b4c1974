"""Listings of S3: restored copies, and times as S3 gives them.

The emulator lists no RestoreStatus, and fractions of seconds that HEAD does not know.

Faithful to: ListObjects and ListObjectsV2 with OptionalObjectAttributes=RestoreStatus tell of each object
whether it is being restored, and until when its copy stays; LastModified is a whole second, as in HEAD.
Not to: listings of versions.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreStatus.html
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from xml.etree import ElementTree

from ministack.services import s3

_NAMESPACE = f"{{{s3.S3_NS}}}"

#: Whether the request at hand asks for the status of restores.
_asked: ContextVar[bool] = ContextVar("localaws_s3_restore_status", default=False)


def install() -> None:
    """Complete what is listed."""
    ElementTree.register_namespace("", s3.S3_NS)  # or each element would get a prefix
    stock = s3.handle_request

    async def handle_request(method: str, path: str, headers: dict[str, str], *rest: Any, **more: Any) -> Any:
        _asked.set("RestoreStatus" in headers.get("x-amz-optional-object-attributes", ""))
        return await stock(method, path, headers, *rest, **more)

    s3.handle_request = handle_request
    for name in ("_list_objects_v1", "_list_objects_v2"):
        setattr(s3, name, _completed(getattr(s3, name)))


def _completed(list_objects: Callable[..., Any]) -> Callable[..., Any]:
    def list_completely(bucket: str, query: dict[str, Any]) -> Any:
        status, headers, body = list_objects(bucket, query)
        if status != 200:
            return status, headers, body
        listing = s3.fromstring(body)
        encoded = listing.find(f"{_NAMESPACE}EncodingType") is not None
        for contents in listing.iter(f"{_NAMESPACE}Contents"):
            modified = contents.find(f"{_NAMESPACE}LastModified")
            modified.text = f"{modified.text[:19]}.000Z"
            if _asked.get():
                key = contents.findtext(f"{_NAMESPACE}Key")
                _add_status(contents, bucket, urllib.parse.unquote_plus(key) if encoded else key)
        return status, headers, ElementTree.tostring(listing, encoding="UTF-8", xml_declaration=True)

    return list_completely


def _add_status(contents: Any, bucket: str, key: str) -> None:
    record = s3._buckets[bucket]["objects"][key]
    phase = s3._sync_restore(bucket, key, record)
    if phase is None:
        return
    status = ElementTree.SubElement(contents, f"{_NAMESPACE}RestoreStatus")
    in_progress = ElementTree.SubElement(status, f"{_NAMESPACE}IsRestoreInProgress")
    in_progress.text = str(phase == "in_progress").lower()
    if phase == "restored":
        expiry = ElementTree.SubElement(status, f"{_NAMESPACE}RestoreExpiryDate")
        expiry.text = s3._restore_expiry_iso(record["restore"]["expires_at"])
