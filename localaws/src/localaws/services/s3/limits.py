"""What S3 refuses of keys, metadata, tags, uploads in parts, and lifecycle and CORS rules.

The emulator stores keys and metadata of any size, and every rule.

Faithful to: through the API and in templates, names of buckets with a prefix or suffix that S3 reserves; keys
of at most 1,024 bytes and metadata of at most 2 KB; tags with keys of 128 and values of 256 characters, no
key twice and none of AWS; 1 to 1,000 keys in DeleteObjects; a copy to itself that changes nothing; an upload
with parts in order, of at least 5 MB but for the last; lifecycle and CORS rules that are incomplete,
contradict themselves or have values that S3 does not have, with its codes and words.
Not to: lifecycle rules that contradict each other; the order of storage classes.

https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLifecycleConfiguration.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketCors.html
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.etree import ElementTree

from ministack.services import s3
from ministack.services.cloudformation import provisioners

from localaws.patching import around
from localaws.refusals import Parameters, Refusal, refuses

_LONGEST_KEY, _LARGEST_METADATA = 1024, 2048
_META = "x-amz-meta-"
_RESERVED_STARTS = ("xn--", "sthree-", "amzn-s3-demo-")
_RESERVED_ENDS = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_TAG = re.compile(r"[\w\s+\-=.:/@]*")
_MOST_KEYS, _SMALLEST_PART = 1000, 5 * 1024 * 1024
_MOST_RULES, _MOST_CORS, _LONGEST_ID = 1000, 100, 255
_METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
_CLASSES = ("GLACIER", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "DEEP_ARCHIVE", "GLACIER_IR")
_AFTER_DAYS = {"STANDARD_IA": 30, "ONEZONE_IA": 30}
_CHANGES = (
    *("x-amz-storage-class", "x-amz-website-redirect-location", "x-amz-server-side-encryption"),
    "x-amz-checksum-algorithm",
)
_SAME_COPY = (
    "This copy request is illegal because it is trying to copy an object to itself without changing the "
    "object's metadata, storage class, website redirect location or encryption attributes."
)
_NO_PART = (
    "One or more of the specified parts could not be found.  The part may not have been uploaded, or the "
    "specified entity tag may not match the part's entity tag."
)
_MALFORMED = Refusal(
    "MalformedXML",
    "The XML you provided was not well-formed or did not validate against our published schema",
)


# --- Buckets and keys


@around(s3, "_validate_bucket_name")
def _validate_bucket_name(stock: Callable[[str], bool], name: str) -> bool:
    return stock(name) and not name.startswith(_RESERVED_STARTS) and not name.endswith(_RESERVED_ENDS)


@around(s3, "handle_request", after=["s3.listing", "s3.permissions", "s3.shapes"])
async def _handle_request(
    stock: Callable[..., Awaitable[Any]],
    method: str,
    path: str,
    headers: dict[str, str],
    *args: Any,
    **kwargs: Any,
) -> Any:
    _bucket, key = s3._parse_bucket_key(path, headers)
    length = len((key or "").encode())
    if length > _LONGEST_KEY:
        sizes = {"Size": str(length), "MaxSizeAllowed": str(_LONGEST_KEY)}
        return s3._error("KeyTooLongError", "Your key is too long", 400, extra=sizes)
    if method in ("PUT", "POST") and _metadata(headers) > _LARGEST_METADATA:
        text = "Your metadata headers exceed the maximum allowed metadata size"
        sizes = {"Size": str(_metadata(headers)), "MaxSizeAllowed": str(_LARGEST_METADATA)}
        return s3._error("MetadataTooLarge", text, 400, extra=sizes)
    if found := _of_tags(parse_qsl(headers.get("x-amz-tagging", ""), keep_blank_values=True)):
        return s3._error(*found)
    return await stock(method, path, headers, *args, **kwargs)


def _metadata(headers: dict[str, str]) -> int:
    given = ((name[len(_META) :], value) for name, value in headers.items() if name.startswith(_META))
    return sum(len(name.encode()) + len(value.encode()) for name, value in given)


# --- Tags


def _of_tags(tags: list[tuple[str, str]]) -> Refusal | None:
    if len({key for key, _value in tags}) < len(tags):
        return Refusal("InvalidTag", "Cannot provide multiple Tags with the same key")
    for key, value in tags:
        if key.lower().startswith("aws:"):
            return Refusal("InvalidTag", "System tags cannot be added/updated by requester")
        if not 1 <= len(key) <= 128 or not _TAG.fullmatch(key):
            return Refusal("InvalidTag", "The TagKey you have provided is invalid")
        if len(value) > 256 or not _TAG.fullmatch(value):
            return Refusal("InvalidTag", "The TagValue you have provided is invalid")
    return None


@around(s3, "_put_object_tagging", after=["s3.events"])
def _put_object_tagging(
    stock: Callable[..., Any], bucket_name: str, key: str, body: bytes, *args: Any, **kwargs: Any
) -> Any:
    root = _parsed(body)
    tags = [(_text(tag, "Key"), _text(tag, "Value")) for tag in _all(root, "Tag")] if root is not None else []
    found = _of_tags(tags)
    return s3._error(*found) if found else stock(bucket_name, key, body, *args, **kwargs)


# --- Many keys, copies, and uploads in parts


@around(s3, "_copy_object")
def _copy_object(stock: Callable[..., Any], bucket_name: str, dest_key: str, headers: dict[str, str]) -> Any:
    path, _mark, version = headers.get("x-amz-copy-source", "").partition("?")
    itself = unquote(path).removeprefix("/") == f"{bucket_name}/{dest_key}" and not version
    replaces = headers.get("x-amz-metadata-directive") == "REPLACE"
    if itself and not replaces and not any(name.startswith(_CHANGES) for name in headers):
        return s3._error("InvalidRequest", _SAME_COPY, 400)
    return stock(bucket_name, dest_key, headers)


@around(s3, "_delete_objects", after=["s3.additional_permissions"])
def _delete_objects(
    stock: Callable[..., Any], bucket_name: str, body: bytes, *args: Any, **kwargs: Any
) -> Any:
    root = _parsed(body)
    if root is not None and not 1 <= len(_all(root, "Object")) <= _MOST_KEYS:
        return s3._error(*_MALFORMED)
    return stock(bucket_name, body, *args, **kwargs)


@around(s3, "_complete_multipart_upload")
def _complete_multipart_upload(
    stock: Callable[..., Any],
    bucket_name: str,
    key: str,
    body: bytes,
    query_params: Any,
    *args: Any,
    **kwargs: Any,
) -> Any:
    upload = s3._multipart_uploads.get(s3._qp(query_params, "uploadId"))
    root = _parsed(body)
    found = _of_parts(upload["parts"], root) if upload is not None and root is not None else None
    return s3._error(*found) if found else stock(bucket_name, key, body, query_params, *args, **kwargs)


def _of_parts(stored: dict[int, Any], root: ElementTree.Element) -> Refusal | None:
    parts = [(int(_text(part, "PartNumber") or 0), _text(part, "ETag")) for part in _all(root, "Part")]
    if not parts:
        return _MALFORMED
    numbers = [number for number, _etag in parts]
    if numbers != sorted(set(numbers)):
        text = "The list of parts was not in ascending order. Parts must be ordered by part number."
        return Refusal("InvalidPartOrder", text)
    for number, etag in parts:
        if number not in stored or etag.strip('"') != stored[number]["etag"].strip('"'):
            return Refusal("InvalidPart", _NO_PART)
    if any(stored[number]["size"] < _SMALLEST_PART for number in numbers[:-1]):
        return Refusal("EntityTooSmall", "Your proposed upload is smaller than the minimum allowed size")
    return None


# --- CORS and lifecycle rules


@around(s3, "_put_bucket_cors")
def _put_bucket_cors(stock: Callable[..., Any], name: str, body: bytes) -> Any:
    found = _of_cors(body)
    return s3._error(*found) if found else stock(name, body)


@around(s3, "_put_bucket_lifecycle")
def _put_bucket_lifecycle(stock: Callable[..., Any], name: str, body: bytes) -> Any:
    found = _of_lifecycle(body)
    return s3._error(*found) if found else stock(name, body)


@refuses("cloudformation", "AWS::S3::Bucket")
def _bucket(properties: Parameters) -> Refusal | None:
    name = properties.get("BucketName")
    if name and not s3._validate_bucket_name(str(name)):
        return Refusal("InvalidBucketName", "The specified bucket is not valid.")
    checks = {"CorsConfiguration": _of_cors, "LifecycleConfiguration": _of_lifecycle}
    for property_, to_xml, _put, _delete in provisioners._S3_BUCKET_CONFIGURATIONS:
        value = properties.get(property_)
        if value and property_ in checks and (found := checks[property_](to_xml(value))):
            return found
    return None


def _of_cors(body: bytes) -> Refusal | None:
    root = _parsed(body)
    rules = _all(root, "CORSRule") if root is not None else []
    if not rules:
        return _MALFORMED
    if len(rules) > _MOST_CORS:
        text = f"The number of CORS rules should not exceed allowed limit of {_MOST_CORS} rules."
        return Refusal("InvalidRequest", text)
    return next((found for rule in rules for found in _of_cors_rule(rule)), None)


def _of_cors_rule(rule: ElementTree.Element) -> Iterator[Refusal]:
    texts = {
        name: [one.text or "" for one in _all(rule, name)]
        for name in ("AllowedMethod", "AllowedOrigin", "AllowedHeader", "ExposeHeader")
    }
    if not texts["AllowedMethod"] or not all(texts["AllowedOrigin"] or [""]):
        yield _MALFORMED
    if len(_text(rule, "ID")) > _LONGEST_ID:
        yield _too_long()
    for method in texts["AllowedMethod"]:
        if method not in _METHODS:
            text = f"Found unsupported HTTP method in CORS config. Unsupported method is {method}"
            yield Refusal("InvalidRequest", text)
    for name in ("AllowedOrigin", "AllowedHeader"):
        for value in texts[name]:
            if value.count("*") > 1:
                yield Refusal("InvalidRequest", f'{name} "{value}" can not have more than one wildcard.')
    for value in texts["ExposeHeader"]:
        if "*" in value:
            about = "We currently do not support wildcard for ExposeHeader."
            yield Refusal("InvalidRequest", f'ExposeHeader "{value}" contains wildcard. {about}')


def _of_lifecycle(body: bytes) -> Refusal | None:
    root = _parsed(body)
    rules = _all(root, "Rule") if root is not None else []
    if not 1 <= len(rules) <= _MOST_RULES:
        return _MALFORMED
    ids = [found for rule in rules if (found := _text(rule, "ID"))]
    if len(set(ids)) < len(ids):
        text = "Rule ID must be unique. Found same ID for one or more rules"
        return Refusal("InvalidArgument", text)
    return next((found for rule in rules for found in _of_lifecycle_rule(rule)), None)


def _of_lifecycle_rule(rule: ElementTree.Element) -> Iterator[Refusal]:
    def invalid(text: str) -> Refusal:
        return Refusal("InvalidArgument", text)

    if len(_text(rule, "ID")) > _LONGEST_ID:
        yield _too_long()
    if _text(rule, "Status") not in ("Enabled", "Disabled"):
        yield _MALFORMED
    filters, prefix = _child(rule, "Filter"), _child(rule, "Prefix")
    if (filters is None) == (prefix is None) or (filters is not None and len(filters) > 1):
        yield _MALFORMED
    transitions, expiration = _children(rule, "Transition"), _child(rule, "Expiration")
    dated = [*transitions, *([expiration] if expiration is not None else [])]
    actions = [*dated, *_children(rule, "NoncurrentVersionTransition")]
    actions += [
        *_children(rule, "NoncurrentVersionExpiration"),
        *_children(rule, "AbortIncompleteMultipartUpload"),
    ]
    if not actions:
        yield Refusal("InvalidRequest", "At least one action needs to be specified in a rule")
    for action in dated:
        given = [name for name in ("Days", "Date", "ExpiredObjectDeleteMarker") if _text(action, name)]
        if len(given) != 1:
            yield _MALFORMED
        date = _text(action, "Date")
        if date and not re.fullmatch(r"\d{4}-\d\d-\d\d(T00:00:00(\.0+)?(Z|\+00:00)?)?", date):
            yield invalid("'Date' must be at midnight GMT")
    for action in transitions:
        class_, days = _text(action, "StorageClass"), _text(action, "Days")
        if class_ not in _CLASSES:
            yield _MALFORMED
        if days and int(days) < _AFTER_DAYS.get(class_, 0):
            least = f"must be greater than or equal to {_AFTER_DAYS[class_]}"
            yield invalid(f"'Days' in Transition action {least} for storageClass '{class_}'")
    if expiration is not None:
        yield from _of_expiration(rule, expiration, transitions)
    tagged = filters is not None and bool(_all(filters, "Tag"))
    if tagged and _child(rule, "AbortIncompleteMultipartUpload") is not None:
        text = "AbortIncompleteMultipartUpload cannot be specified with Tags."
        yield Refusal("InvalidRequest", text)
    if tagged and expiration is not None and _text(expiration, "ExpiredObjectDeleteMarker"):
        yield Refusal("InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with Tags.")


def _of_expiration(
    rule: ElementTree.Element, expiration: ElementTree.Element, transitions: list[ElementTree.Element]
) -> Iterator[Refusal]:
    days = _text(expiration, "Days")
    if days and int(days) < 1:
        yield Refusal("InvalidArgument", "'Days' for Expiration action must be a positive integer")
    moves = [int(found) for one in transitions if (found := _text(one, "Days"))]
    if days and moves and int(days) <= max(moves):
        where = f"(prefix={next((one.text or '' for one in _all(rule, 'Prefix')), '')})"
        later = "must be greater than 'Days' in the Transition action"
        yield Refusal("InvalidArgument", f"'Days' in the Expiration action for filter '{where}' {later}")


def _too_long() -> Refusal:
    return Refusal("InvalidArgument", f"ID length should not exceed allowed limit of {_LONGEST_ID}")


# --- XML, with S3's namespace or without


def _parsed(body: bytes) -> ElementTree.Element | None:
    try:
        return ElementTree.fromstring(body)  # noqa: S314 - the emulator reads it as well
    except ElementTree.ParseError:
        return None


def _named(element: ElementTree.Element, name: str) -> bool:
    return element.tag.rpartition("}")[2] == name


def _all(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [one for one in element.iter() if _named(one, name)]


def _children(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [one for one in element if _named(one, name)]


def _child(element: ElementTree.Element, name: str) -> ElementTree.Element | None:
    return next(iter(_children(element, name)), None)


def _text(element: ElementTree.Element, name: str) -> str:
    found = _child(element, name)
    return (found.text or "").strip() if found is not None else ""
