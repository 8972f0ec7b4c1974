"""Key value stores import their items, have limits and permissions, and are gone when they are deleted.

The emulator records `ImportSource` only, accepts keys, values and updates of any size, asks for permissions
on every resource, and finds the items of a deleted store in the next one with its name.

Faithful to: the import of a JSON file in S3, for a store of the API and of a template; a file that is not as
documented fails the creation. Tags of a template. A key has up to 512 bytes, a value 1 KB, a store 5 MB, an
update 50 keys. Permissions on the items are asked for on the store, those to manage it and functions on it
and them.
Not to: the permissions of who creates the store on the file; 3 MB for an update; the time until a change has
reached all edge locations, usually seconds.

https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/kvs-with-functions-create-s3-kvp.html
https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html#limits-keyvaluestores
https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-cloudfront-keyvaluestore.html
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from ministack.core.responses import get_account_id, get_region, new_uuid, request_scope
from ministack.services import cloudfront, s3
from ministack.services import cloudfront_keyvaluestore as data

from localaws.patching import Created, Handler, Properties, around, resource
from localaws.services.iam.resources import Request, resource_of

_STORE_IN_PATH = re.compile(r"/key-value-stores/(arn:[^/]+/[^/]+)")
_NAMED_IN_PATH = re.compile(r"/2020-05-31/(function|key-value-store)/([^/]+)")
_KEY, _VALUE, _STORE, _KEYS = 512, 1024, 5 * 1024 * 1024, 50


# --- Import and deletion


@resource("AWS::CloudFront::KeyValueStore").create
def _create(stock: Handler, logical_id: str, properties: Properties, stack: str) -> Created:
    source = properties.get("ImportSource") or {}
    if source and source.get("SourceType") != "S3":
        raise ValueError(f"ImportSource.SourceType {source.get('SourceType')!r} must be S3")
    items = _imported(str(source["SourceArn"])) if source else {}
    physical_id, attributes = stock(logical_id, properties, stack)
    data._stores[attributes["Arn"]] = {"etag": new_uuid(), "items": items}
    cloudfront._tags[attributes["Arn"]] = list(properties.get("Tags") or [])
    return physical_id, attributes


@resource("AWS::CloudFront::KeyValueStore").update
def _update(
    stock: Callable[..., Created],
    physical_id: str,
    old: Properties,
    new: Properties,
    stack: str,
    logical_id: str,
) -> Created:
    """The items stay, whatever the template's import source; the tags are those of the template."""
    updated = stock(physical_id, old, new, stack)
    cloudfront._tags[updated[1]["Arn"]] = list(new.get("Tags") or [])
    return updated


@resource("AWS::CloudFront::KeyValueStore").delete
def _delete(stock: Callable[..., None], physical_id: str, properties: Properties) -> None:
    store = cloudfront._kvstores.get(physical_id)
    stock(physical_id, properties)
    if store:
        data._stores.pop(store["ARN"], None)
        cloudfront._tags.pop(store["ARN"], None)


@around(cloudfront, "_create_kvs")
def _create_kvs(stock: Callable[..., Any], headers: Any, body: bytes) -> Any:
    request = cloudfront._parse_body(body)
    source = cloudfront._find(request, "ImportSource") if request is not None else None
    try:
        arn = cloudfront._text(source, "SourceARN") if source is not None else ""
        items = _imported(arn) if arn else {}
    except ValueError as error:
        return cloudfront._error("InvalidArgument", str(error), 400)
    answer = stock(headers, body)
    if answer[0] == 201:
        arn = cloudfront._kvstores[cloudfront._text(request, "Name")]["ARN"]
        data._stores[arn] = {"etag": new_uuid(), "items": items}
    return answer


@around(cloudfront, "_delete_kvs")
def _delete_kvs(stock: Callable[..., Any], name: str, headers: Any) -> Any:
    store, answer = cloudfront._kvstores.get(name), stock(name, headers)
    if store and answer[0] == 204:
        data._stores.pop(store["ARN"], None)
    return answer


def _imported(source_arn: str) -> dict[str, str]:
    bucket, _, key = source_arn.rpartition(":")[2].partition("/")
    with request_scope(s3._bucket_owner_account(bucket) or get_account_id(), get_region()):
        content = s3._get_object_data(bucket, key)
    if content is None:
        raise ValueError(f"The import source {source_arn} does not exist")
    return read_items(content)


def read_items(content: bytes) -> dict[str, str]:
    """The items of a file.

    Raises:
        ValueError: The file is not as documented, or an item is too large.
    """
    try:
        pairs = [(item["key"], item["value"]) for item in json.loads(content)["data"]]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            'The import source must be {"data": [{"key": "…", "value": "…"}]} in UTF-8'
        ) from error
    items = dict(pairs)
    if len(items) < len(pairs):
        raise ValueError("The import source has duplicate keys")
    if wrong := _wrong(items, {}):
        raise ValueError(wrong)
    return items


# --- Limits of the data API


def _wrong(puts: Mapping[str, Any], rest: Mapping[str, str]) -> str | None:
    for key, value in puts.items():
        if not isinstance(key, str) or not isinstance(value, str):
            return f"The key {key!r} and its value must be strings"
        if not 1 <= len(key.encode()) <= _KEY:
            return f"A key must have 1 to {_KEY} bytes"
        if len(value.encode()) > _VALUE:
            return f"The value of {key} has more than {_VALUE} bytes"
    if data._compute_size({**rest, **puts}) > _STORE:
        return f"The key value store would have more than {_STORE} bytes"
    return None


@around(data, "_put_key")
def _put_key(stock: Callable[..., Any], arn: str, key: str, headers: Any, body: bytes) -> Any:
    return _checked(arn, [{"Key": key, "Value": _read(body).get("Value")}], 1) or stock(
        arn, key, headers, body
    )


@around(data, "_update_keys")
def _update_keys(stock: Callable[..., Any], arn: str, headers: Any, body: bytes) -> Any:
    request = _read(body)
    puts, deletes = request.get("Puts") or [], request.get("Deletes") or []
    return _checked(arn, puts, len(puts) + len(deletes)) or stock(arn, headers, body)


def _read(body: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(body or b"{}"))
    except (ValueError, TypeError):
        return {}  # the emulator refuses it


def _checked(arn: str, puts: list[Any], count: int) -> Any:
    store, _ = data._get_store(arn)
    if count > _KEYS:
        return data._error("ValidationException", f"An update has up to {_KEYS} keys", 400)
    given: dict[Any, Any] = {item.get("Key"): item.get("Value") for item in puts if isinstance(item, dict)}
    if store is None or None in given or None in given.values():
        return None  # the emulator refuses it
    if wrong := _wrong(given, store["items"]):
        too_much = "store would" in wrong
        code, status = ("ServiceQuotaExceededException", 402) if too_much else ("ValidationException", 400)
        return data._error(code, wrong, status)
    return None


# --- Permissions


@resource_of("cloudfront-keyvaluestore")
def _store(request: Request) -> str | None:
    """The store whose items a request is about; the emulator asks on every resource."""
    found = _STORE_IN_PATH.match(unquote(request.path))
    return found[1] if found else None


@resource_of("cloudfront")
def _managed(request: Request) -> str | None:
    """The store or function that a request manages."""
    found = _NAMED_IN_PATH.match(request.path)
    return f"arn:aws:cloudfront::{request.account}:{found[1]}/{found[2]}" if found else None
