"""S3: the bucket properties that CloudFormation must not lose, and delete events as S3 sends them.

Faithful to: `AWS::S3::Bucket` Tags (and the stack's), BucketEncryption, LifecycleConfiguration,
OwnershipControls, LoggingConfiguration and a suspended VersioningConfiguration reach the bucket, are
returned by S3's own Get calls, change and disappear with the template, and fail the deployment when S3
would refuse them. Deleting a stack does not delete a bucket that still holds objects, versions or delete
markers: the deletion fails. An object written with `aws:kms` and no key takes the account's `aws/s3` key.
The event of a removed object carries its key and sequencer (and versionId, in a versioned bucket), and
neither size nor eTag.
Not to: lifecycle rules and access logs are recorded, and nothing is expired, moved or written. Objects are
not encrypted, and a key's policy is not asked.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html
https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import botocore.model
import botocore.serialize
import botocore.session
from ministack.core.responses import get_account_id, get_region
from ministack.services import s3
from ministack.services.cloudformation import provisioners

_SSE = "x-amz-server-side-encryption"
_SSE_KEY = "x-amz-server-side-encryption-aws-kms-key-id"


def install() -> None:
    """Give the emulator's S3 the behaviour described above."""
    provisioners._S3_BUCKET_CONFIGURATIONS += tuple(
        (name, _body(operation, member, translate), _checked(name, put), delete)
        for name, operation, member, translate, put, delete in _PROPERTIES
    )
    provisioners._STACK_TAG_PROPERTY["AWS::S3::Bucket"] = ("Tags", "list")
    provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]["delete"] = _delete_empty_bucket
    s3._resolve_sse_write_headers = _with_default_key(s3._resolve_sse_write_headers)
    for target in ("lambda", "sqs", "sns"):
        name = f"_deliver_event_to_{target}"
        setattr(s3, name, _with_documented_record(getattr(s3, name)))


# --- Properties of AWS::S3::Bucket, as the bodies of the S3 calls that CloudFormation would make


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
    """One rule in the API's form: the template spells days, dates and filters flat."""
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
        rule_filter = {**given, "Tag": tags[0] if tags else None}
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
    # S3 cannot forget that a bucket was versioned; CloudFormation suspends it when the property is removed.
    if s3._bucket_versioning.get(bucket):
        s3._bucket_versioning[bucket] = "Suspended"


def _stop_logging(bucket: str) -> None:
    s3._bucket_logging_config.pop(bucket, None)


# Property, S3's call, the member of that call which is its body, translation, setter, remover.
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
    """A function from the property's value to the body that boto3 would send for it."""

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
    """The value without what the template leaves out: None, and what becomes empty without it."""
    if isinstance(value, dict):
        kept = {name: _present(member) for name, member in value.items() if member is not None}
        return {name: member for name, member in kept.items() if member not in ({}, [])}
    if isinstance(value, list):
        return [_present(member) for member in value]
    return value


def _number(value: str | int | None) -> int | None:
    return None if value is None else int(value)


def _boolean(value: str | bool | None) -> bool | None:
    return None if value is None else str(value).lower() == "true"


def _delete_empty_bucket(bucket: str, _properties: dict[str, Any]) -> None:
    if bucket in s3._buckets:
        status, _headers, answer = s3._delete_bucket(bucket)
        if status >= 400:
            raise ValueError(f"AWS::S3::Bucket {bucket} not deleted: {answer!r}")


# --- Writes that ask for KMS without naming a key


def _with_default_key(resolve: Callable[..., Any]) -> Callable[..., Any]:
    def resolve_with_default_key(headers: dict[str, str], bucket: str) -> Any:
        if headers.get(_SSE) == "aws:kms" and not headers.get(_SSE_KEY):
            key = f"arn:aws:kms:{get_region()}:{get_account_id()}:alias/aws/s3"
            headers = {**headers, _SSE_KEY: key}
        return resolve(headers, bucket)

    return resolve_with_default_key


# --- Events


def _with_documented_record(deliver: Callable[..., None]) -> Callable[..., None]:
    def deliver_documented(arn: str, payload: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        if "Records" in payload:  # The test event has none.
            payload = {**payload, "Records": [_documented(record) for record in payload["Records"]]}
        deliver(arn, payload, *args, **kwargs)

    return deliver_documented


def _documented(record: dict[str, Any]) -> dict[str, Any]:
    """The record without the size and eTag that a removed object has no more."""
    if not record["eventName"].startswith("ObjectRemoved:"):
        return record
    removed = {name: value for name, value in record["s3"]["object"].items() if name not in ("size", "eTag")}
    return {**record, "s3": {**record["s3"], "object": removed}}
