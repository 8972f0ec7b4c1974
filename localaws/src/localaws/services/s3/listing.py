"""Listings of S3: the status of restored objects, times in whole seconds, and encoded keys of versions.

The emulator's listings have no RestoreStatus, and fractions of seconds that HEAD does not have. It ignores
the encoding type of ListObjectVersions: a key with a control character makes its XML unreadable.

Faithful to: ListObjects and ListObjectsV2 with OptionalObjectAttributes=RestoreStatus return for each
restored object whether the restore is in progress, and when its copy expires. LastModified is a whole second,
as in HEAD. ListObjectVersions with EncodingType=url encodes keys, prefixes, markers and the delimiter.
Not to: RestoreStatus and whole seconds in listings of versions.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_RestoreStatus.html
"""

from __future__ import annotations

import html
import re
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


_ENCODED = re.compile(r"(?<=<)(Key|Prefix|Delimiter|KeyMarker|NextKeyMarker)>([^<]*)(?=</)")


@around(s3, "_list_object_versions")
def _list_object_versions(stock: Callable[..., Any], bucket_name: str, query_params: dict[str, Any]) -> Any:
    status, headers, body = stock(bucket_name, query_params)
    if status != 200 or s3._qp(query_params, "encoding-type", "") != "url":
        return status, headers, body

    def encoded(found: re.Match[str]) -> str:
        return f"{found[1]}>{s3._url_encode(html.unescape(found[2]))}"

    text = _ENCODED.sub(encoded, body.decode())
    text = text.replace("</ListVersionsResult>", "<EncodingType>url</EncodingType></ListVersionsResult>")
    return status, headers, text.encode()


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
