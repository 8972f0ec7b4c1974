"""Listings of S3: the status of restored objects, times in whole seconds, and any key among versions.

The emulator's listings have no RestoreStatus, and fractions of seconds that HEAD does not have. That of
versions ignores EncodingType, so it fails for keys with characters that XML cannot contain.

Faithful to: ListObjects and ListObjectsV2 with OptionalObjectAttributes=RestoreStatus return for each
restored object whether the restore is in progress, and when its copy expires. LastModified is a whole second,
as in HEAD. ListObjectVersions with EncodingType=url encodes keys, prefixes and markers.
Not to: the status and the times in listings of versions.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreStatus.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any
from xml.etree import ElementTree

from ministack.services import s3

from localaws.patching import around

_NAMESPACE = f"{{{s3.S3_NS}}}"

#: Whether the current request asks for the status of restores.
_asked: ContextVar[bool] = ContextVar("localaws_s3_restore_status", default=False)

#: Whether the current listing of versions encodes keys.
_encodes: ContextVar[bool] = ContextVar("localaws_s3_encoding_type", default=False)
_ENCODED = ("Key", "Prefix", "Delimiter", "KeyMarker", "NextKeyMarker")

# Otherwise each element would get a prefix.
ElementTree.register_namespace("", s3.S3_NS)


@around(s3, "handle_request", after=["s3.permissions"])
async def _handle_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    *args: Any,
    **more: Any,
) -> Any:
    _asked.set("RestoreStatus" in headers.get("x-amz-optional-object-attributes", ""))
    return await stock(method, path, headers, *args, **more)


@around(s3, "_list_objects_v1")
@around(s3, "_list_objects_v2")
def _list_objects(stock: Callable[..., Any], bucket_name: str, query_params: dict[str, Any]) -> Any:
    status, headers, body = stock(bucket_name, query_params)
    if status != 200:
        return status, headers, body
    listing = s3.fromstring(body)
    encoded = listing.find(f"{_NAMESPACE}EncodingType") is not None
    for contents in listing.iter(f"{_NAMESPACE}Contents"):
        modified = contents.find(f"{_NAMESPACE}LastModified")
        modified.text = f"{modified.text[:19]}.000Z"
        if _asked.get():
            key = contents.findtext(f"{_NAMESPACE}Key")
            _add_status(contents, bucket_name, urllib.parse.unquote_plus(key) if encoded else key)
    return status, headers, ElementTree.tostring(listing, encoding="UTF-8", xml_declaration=True)


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


@around(s3, "_list_object_versions")
def _list_object_versions(stock: Callable[..., Any], bucket_name: str, query_params: dict[str, Any]) -> Any:
    token = _encodes.set(s3._qp(query_params, "encoding-type", "") == "url")
    try:
        return stock(bucket_name, query_params)
    finally:
        _encodes.reset(token)


@around(s3, "_xml_body")
def _xml_body(stock: Callable[..., Any], root: Any, *args: Any, **more: Any) -> Any:
    if _encodes.get():
        for element in root.iter():
            if element.tag in _ENCODED:
                element.text = urllib.parse.quote(element.text or "", safe="/")
        ElementTree.SubElement(root, "EncodingType").text = "url"
    return stock(root, *args, **more)
