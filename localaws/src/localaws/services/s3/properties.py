"""Properties of `AWS::S3::Bucket`, as the bodies of the S3 calls that CloudFormation would make.

Used by `s3.buckets`, which adds them to the properties that the emulator applies.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-s3-bucket.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import botocore.model
import botocore.serialize
import botocore.session
from ministack.services import s3

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
