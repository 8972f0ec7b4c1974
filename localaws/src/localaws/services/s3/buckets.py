"""Bucket properties that the emulator's CloudFormation handler drops, and events of removed objects.

Faithful to:
- `AWS::S3::Bucket` Tags (also those of the stack), BucketEncryption, LifecycleConfiguration,
  OwnershipControls, LoggingConfiguration and a suspended VersioningConfiguration are applied to the bucket,
  returned by S3's Get calls, changed and removed with the template, and fail the deployment when S3 refuses
  them.
- A stack cannot delete a bucket that holds objects, versions or delete markers: the deletion fails.
- An object written with `aws:kms` and without a key uses the account's `aws/s3` key.
- The event of a removed object has its key and sequencer, in a versioned bucket also the versionId, and
  neither size nor eTag.
Not to: lifecycle rules and access logs, which are only recorded: nothing is expired, moved or written.
Objects are not encrypted, and key policies are not evaluated.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import botocore.model
import botocore.serialize
import botocore.session
from ministack.core import iam_evaluator
from ministack.core.responses import get_account_id, get_region
from ministack.services import iam, s3
from ministack.services.cloudformation import provisioners

from localaws.patching import Properties, around, changes, resource, tagged_by_stack

#: A property, the function that makes a request body of its value, the one that sets it on a bucket, and the
#: one that removes it.
Configuration = tuple[str, Callable[[Any], bytes], Callable[[str, bytes], None], Callable[[str], Any]]


def configurations() -> tuple[Configuration, ...]:
    """The properties, in the form of the emulator's table."""
    return tuple(
        (name, _body(operation, member, translate), _checked(name, put), delete)
        for name, operation, member, translate, put, delete in _PROPERTIES
    )


def _tags(value: list[dict[str, str]]) -> dict[str, Any]:
    return {"TagSet": value}


def _encryption(value: dict[str, Any]) -> dict[str, Any]:
    return {
        "Rules": [
            {
                "ApplyServerSideEncryptionByDefault": rule.get("ServerSideEncryptionByDefault"),
                "BucketKeyEnabled": _boolean(rule.get("BucketKeyEnabled")),
            }
            for rule in value.get("ServerSideEncryptionConfiguration") or []
        ]
    }


def _ownership(value: dict[str, Any]) -> dict[str, Any]:
    return {"Rules": value.get("Rules") or []}


def _logging(value: dict[str, Any]) -> dict[str, Any]:
    target = {
        "TargetBucket": value.get("DestinationBucketName"),
        "TargetPrefix": value.get("LogFilePrefix", ""),
    }
    return {"LoggingEnabled": target}


def _versioning(value: dict[str, Any]) -> dict[str, Any]:
    return {"Status": value.get("Status", "Suspended")}


def _lifecycle(value: dict[str, Any]) -> dict[str, Any]:
    return {"Rules": [_lifecycle_rule(rule) for rule in value.get("Rules") or []]}


def _lifecycle_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    """One rule in the form of the API. In a template, days, dates and filters are not nested."""
    filters = {
        "Prefix": rule.get("Prefix"),
        "ObjectSizeGreaterThan": _number(rule.get("ObjectSizeGreaterThan")),
        "ObjectSizeLessThan": _number(rule.get("ObjectSizeLessThan")),
    }
    tags = rule.get("TagFilters") or []
    given = {name: value for name, value in filters.items() if value is not None}
    if len(given) + len(tags) > 1:
        rule_filter: dict[str, Any] = {"And": {**given, "Tags": tags or None}}
    else:
        # Without any, the rule is for every key.
        rule_filter = {**given, "Tag": tags[0]} if tags else given or {"Prefix": ""}
    noncurrent = rule.get("NoncurrentVersionExpiration") or {
        "NoncurrentDays": rule.get("NoncurrentVersionExpirationInDays")
    }
    transitions = rule.get("Transitions") or [rule.get("Transition")]
    noncurrent_transitions = rule.get("NoncurrentVersionTransitions") or [
        rule.get("NoncurrentVersionTransition")
    ]
    return {
        "ID": rule.get("Id"),
        "Status": rule.get("Status"),
        "Filter": rule_filter,
        "Expiration": {
            "Days": _number(rule.get("ExpirationInDays")),
            "Date": rule.get("ExpirationDate"),
            "ExpiredObjectDeleteMarker": _boolean(rule.get("ExpiredObjectDeleteMarker")),
        },
        "Transitions": [
            {
                "Days": _number(transition.get("TransitionInDays")),
                "Date": transition.get("TransitionDate"),
                "StorageClass": transition.get("StorageClass"),
            }
            for transition in transitions
            if transition
        ],
        "NoncurrentVersionExpiration": {
            "NoncurrentDays": _number(noncurrent.get("NoncurrentDays")),
            "NewerNoncurrentVersions": _number(noncurrent.get("NewerNoncurrentVersions")),
        },
        "NoncurrentVersionTransitions": [
            {
                "NoncurrentDays": _number(transition.get("TransitionInDays")),
                "NewerNoncurrentVersions": _number(transition.get("NewerNoncurrentVersions")),
                "StorageClass": transition.get("StorageClass"),
            }
            for transition in noncurrent_transitions
            if transition
        ],
        "AbortIncompleteMultipartUpload": {
            "DaysAfterInitiation": _number(
                (rule.get("AbortIncompleteMultipartUpload") or {}).get("DaysAfterInitiation")
            )
        },
    }


def _suspend_versioning(bucket: str) -> None:
    # Versioning cannot be removed from a bucket: CloudFormation suspends it when the property is removed.
    if s3._bucket_versioning.get(bucket):
        s3._bucket_versioning[bucket] = "Suspended"


def _stop_logging(bucket: str) -> None:
    s3._bucket_logging_config.pop(bucket, None)


# Property, operation of S3, the member of the operation that is its body, translation, setter, remover.
_PROPERTIES: tuple[
    tuple[str, str, str, Callable[..., Any], Callable[..., Any], Callable[[str], Any]], ...
] = (
    ("Tags", "PutBucketTagging", "Tagging", _tags, s3._put_bucket_tagging, s3._delete_bucket_tagging),
    (
        "BucketEncryption",
        "PutBucketEncryption",
        "ServerSideEncryptionConfiguration",
        _encryption,
        s3._put_bucket_encryption,
        s3._delete_bucket_encryption,
    ),
    (
        "LifecycleConfiguration",
        "PutBucketLifecycleConfiguration",
        "LifecycleConfiguration",
        _lifecycle,
        s3._put_bucket_lifecycle,
        s3._delete_bucket_lifecycle,
    ),
    (
        "OwnershipControls",
        "PutBucketOwnershipControls",
        "OwnershipControls",
        _ownership,
        s3._put_bucket_ownership_controls,
        s3._delete_bucket_ownership_controls,
    ),
    (
        "LoggingConfiguration",
        "PutBucketLogging",
        "BucketLoggingStatus",
        _logging,
        s3._put_bucket_logging,
        _stop_logging,
    ),
    (
        "VersioningConfiguration",
        "PutBucketVersioning",
        "VersioningConfiguration",
        _versioning,
        s3._put_bucket_versioning,
        _suspend_versioning,
    ),
)


def _body(operation: str, member: str, translate: Callable[[Any], dict[str, Any]]) -> Callable[[Any], bytes]:
    """A function that makes of a property's value the body that boto3 sends."""

    def body(value: Any) -> bytes:
        parameters = {"Bucket": "bucket", member: _present(translate(value))}
        serializer = botocore.serialize.create_serializer("rest-xml", include_validation=False)
        request = serializer.serialize_to_request(parameters, _service_model().operation_model(operation))
        content = request["body"]
        return content if isinstance(content, bytes) else str(content).encode()

    return body


@functools.cache
def _service_model() -> botocore.model.ServiceModel:
    return botocore.session.Session().get_service_model("s3")


def _checked(name: str, put: Callable[[str, bytes], Any]) -> Callable[[str, bytes], None]:
    """A setter that fails the deployment when S3 refuses the property."""

    def set_or_fail(bucket: str, body: bytes) -> None:
        status, _headers, answer = put(bucket, body)
        if status >= 400:
            raise ValueError(f"AWS::S3::Bucket {name} rejected: {answer!r}")

    return set_or_fail


def _present(value: Any) -> Any:
    """The value without members that are None, or empty without them."""
    if isinstance(value, dict):
        present = {name: _present(member) for name, member in value.items() if member is not None}
        return {name: member for name, member in present.items() if member not in ({}, [])}
    if isinstance(value, list):
        return [_present(member) for member in value]
    return value


def _number(value: str | int | None) -> int | None:
    return None if value is None else int(value)


def _boolean(value: str | bool | None) -> bool | None:
    return None if value is None else str(value).lower() == "true"


_SSE = "x-amz-server-side-encryption"
_SSE_KEY = "x-amz-server-side-encryption-aws-kms-key-id"


@changes(provisioners, "_S3_BUCKET_CONFIGURATIONS")
def _configurations(stock: tuple[Any, ...]) -> tuple[Any, ...]:
    return stock + configurations()


tagged_by_stack("AWS::S3::Bucket")


@resource("AWS::S3::Bucket").delete
def _delete_empty_bucket(_stock: Callable[..., None], bucket: str, _properties: Properties) -> None:
    if bucket in s3._buckets:
        status, _headers, answer = s3._delete_bucket(bucket)
        if status >= 400:
            raise ValueError(f"AWS::S3::Bucket {bucket} not deleted: {answer!r}")


@around(s3, "_resolve_sse_write_headers")
def _resolve_sse_write_headers(stock: Callable[..., Any], headers: dict[str, str], bucket_name: str) -> Any:
    """Use the account's default key for writes that ask for KMS without naming a key."""
    if headers.get(_SSE) == "aws:kms" and not headers.get(_SSE_KEY):
        key = f"arn:aws:kms:{get_region()}:{get_account_id()}:alias/aws/s3"
        headers = {**headers, _SSE_KEY: key}
    return stock(headers, bucket_name)


@around(s3, "_deliver_event_to_lambda")
@around(s3, "_deliver_event_to_sqs")
@around(s3, "_deliver_event_to_sns")
def _deliver(
    stock: Callable[..., None], arn: str, event_payload: Properties, *args: Any, **more: Any
) -> None:
    if "Records" in event_payload:  # the test event has none
        records = [_documented(record) for record in event_payload["Records"]]
        event_payload = {**event_payload, "Records": records}
    stock(arn, event_payload, *args, **more)


def _documented(record: dict[str, Any]) -> dict[str, Any]:
    """The record with ids as long as those of S3; that of a removed object without size and eTag."""
    described = record["s3"]["object"]
    if record["eventName"].startswith("ObjectRemoved:"):
        described = {name: value for name, value in described.items() if name not in ("size", "eTag")}
    request = record["responseElements"]["x-amz-request-id"]
    digest = hashlib.sha512(request.encode()).digest()
    bucket = record["s3"]["bucket"] | {"ownerIdentity": {"principalId": "A3NL1KOZZKEXAM"}}
    return {
        **record,
        "userIdentity": {"principalId": f"AWS:{_caller_id()}"},
        "responseElements": {
            "x-amz-request-id": request.replace("-", "")[:16].upper(),
            "x-amz-id-2": base64.b64encode(digest[:57]).decode(),
        },
        "s3": {**record["s3"], "bucket": bucket, "object": described},
    }


def _caller_id() -> str:
    """The unique id of the user or session that sent the request; the account's for its root user."""
    arn = iam_evaluator.caller_arn()
    kind, _, name = arn.split(":", 5)[5].partition("/")
    if kind == "assumed-role":
        role, _, session = name.partition("/")
        return f"{(iam._roles.get(role) or {}).get('RoleId', '')}:{session}"
    user = iam._users.get(name.rpartition("/")[2]) or {}
    return str(user.get("UserId") or get_account_id())
