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

from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import s3
from ministack.services.cloudformation import provisioners

from localaws.services.s3.properties import configurations

_SSE = "x-amz-server-side-encryption"
_SSE_KEY = "x-amz-server-side-encryption-aws-kms-key-id"


def install() -> None:
    """Give the emulator's S3 the behaviour described above."""
    provisioners._S3_BUCKET_CONFIGURATIONS += configurations()
    provisioners._STACK_TAG_PROPERTY["AWS::S3::Bucket"] = ("Tags", "list")
    provisioners._RESOURCE_HANDLERS["AWS::S3::Bucket"]["delete"] = _delete_empty_bucket
    s3._resolve_sse_write_headers = _with_default_key(s3._resolve_sse_write_headers)
    for target in ("lambda", "sqs", "sns"):
        name = f"_deliver_event_to_{target}"
        setattr(s3, name, _with_documented_record(getattr(s3, name)))


# --- Deletion


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
