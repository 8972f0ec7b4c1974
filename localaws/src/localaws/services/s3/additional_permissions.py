"""What a request to S3 may need more than the permission of its operation: tags, ACLs, each key of a batch.

The emulator asks for `s3:PutObject` only, whatever tags and ACLs come with an object, and refuses
DeleteObjects as a whole if one key is denied.

Faithful to: PutObject, CopyObject and CreateMultipartUpload with tags need `s3:PutObjectTagging`, and with an
ACL or a grant `s3:PutObjectAcl`. DeleteObjects needs no permission as a whole: each key is authorised as
`s3:DeleteObject`, or as `s3:DeleteObjectVersion` if it has a version, and with the permission to bypass
governance if the request asks for that. Denied keys are in the errors of the answer, the others are deleted.
Not to: the tags that CopyObject takes along from its source; uploads by HTML forms; condition keys of the
additional permissions; batches through an access point of several Regions.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObjects.html
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from ministack.core import iam_actions, iam_evaluator
from ministack.core.responses import get_region
from ministack.core.router import extract_access_key_id
from ministack.services import s3

from localaws.patching import around, changes
from localaws.services.iam.roles import iam_is_enforced

Checks = list[tuple[str, str]]

_BATCH = "DeleteObjects"  # no permission has this name
_ACL, _GRANT, _TAGS = "x-amz-acl", "x-amz-grant-", "x-amz-tagging"

#: The keys of the request that the caller may not delete, each with its version.
_denied: ContextVar[frozenset[tuple[str, str]]] = ContextVar("localaws_denied_keys", default=frozenset())


@changes(iam_actions, "_S3_BUCKET_QUERY_ACTIONS")
def _named_otherwise(stock: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    return {**stock, "delete": {"POST": _BATCH}}


@changes(iam_evaluator, "_ALWAYS_ALLOWED_ACTIONS")
def _authorised_by_key(stock: frozenset[str]) -> frozenset[str]:
    return stock | {f"s3:{_BATCH}"}


@around(iam_actions, "s3_additional_checks")
def _additional_checks(
    stock: Callable[..., Checks],
    method: str,
    path: str,
    headers: dict[str, str],
    body: bytes,
    query_params: dict[str, Any],
) -> Checks:
    bucket, _, key = path.lstrip("/").partition("/")
    action = iam_actions._s3_action(method, path, query_params)
    if action == _BATCH:
        bypass = [arn for one, arn in stock(method, path, headers, body, query_params) if "Bypass" in one]
        _denied.set(_denied_keys(bucket, body, bool(bypass), extract_access_key_id(headers, query_params)))
        return []
    checks = stock(method, path, headers, body, query_params)
    if action == "PutObject" and key:
        arn = f"arn:aws:s3:::{bucket}/{key}"
        if headers.get(_TAGS):
            checks.append(("s3:PutObjectTagging", arn))
        if any(value and (name == _ACL or name.startswith(_GRANT)) for name, value in headers.items()):
            checks.append(("s3:PutObjectAcl", arn))
    return checks


def _denied_keys(bucket: str, body: bytes, bypass: bool, caller: str) -> frozenset[tuple[str, str]]:
    if not iam_is_enforced():
        return frozenset()

    def is_denied(arn: str, version: str) -> bool:
        actions = ["s3:DeleteObjectVersion" if version else "s3:DeleteObject"]
        actions += ["s3:BypassGovernanceRetention"] if bypass else []
        return any(
            iam_evaluator.enforce(caller, action, "s3", get_region(), resource, keys)
            for action in actions
            for resource, keys in iam_actions.s3_access_point_resources(arn)
        )

    return frozenset(
        (arn.removeprefix(f"arn:aws:s3:::{bucket}/"), version)
        for arn, version in iam_actions._s3_batch_delete_targets(bucket, body)
        if is_denied(arn, version)
    )


@around(s3, "_delete_objects")
def _delete_objects(
    stock: Callable[..., Any], bucket_name: str, body: bytes, *args: Any, **kwargs: Any
) -> Any:
    """Delete the keys that the caller may delete, and report the others."""
    denied = _denied.get()
    _denied.set(frozenset())
    if not denied:
        return stock(bucket_name, body, *args, **kwargs)
    request = fromstring(body)  # noqa: S314 - the emulator has read it as well
    refused = [one for one in request if (_text(one, "Key"), _text(one, "VersionId")) in denied]
    for one in refused:
        request.remove(one)
    status, headers, answer = stock(bucket_name, tostring(request), *args, **kwargs)
    if status != 200:
        return status, headers, answer
    result = fromstring(answer)  # noqa: S314 - the emulator's own
    for one in refused:
        error = SubElement(result, f"{{{s3.S3_NS}}}Error")
        version = _text(one, "VersionId")
        members = {"Key": _text(one, "Key"), **({"VersionId": version} if version else {})}
        for name, value in {**members, "Code": "AccessDenied", "Message": "Access Denied"}.items():
            SubElement(error, f"{{{s3.S3_NS}}}{name}").text = value
    return status, headers, tostring(result, encoding="UTF-8", default_namespace=s3.S3_NS)


def _text(element: Element, name: str) -> str:
    found = next((child for child in element if child.tag.rpartition("}")[2] == name), None)
    return (found.text or "") if found is not None else ""
