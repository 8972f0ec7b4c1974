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

from collections.abc import Callable
from typing import Any

from ministack.core.responses import get_account_id, get_region
from ministack.services import s3
from ministack.services.cloudformation import provisioners

from localaws.patching import Properties, around, changes, resource, tagged_by_stack
from localaws.services.s3.properties import configurations

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
def _deliver(stock: Callable[..., None], arn: str, event_payload: Properties, *args: Any) -> None:
    if "Records" in event_payload:  # the test event has none
        records = [_documented(record) for record in event_payload["Records"]]
        event_payload = {**event_payload, "Records": records}
    stock(arn, event_payload, *args)


def _documented(record: dict[str, Any]) -> dict[str, Any]:
    """The record; that of a removed object without size and eTag."""
    if not record["eventName"].startswith("ObjectRemoved:"):
        return record
    removed = {name: value for name, value in record["s3"]["object"].items() if name not in ("size", "eTag")}
    return {**record, "s3": {**record["s3"], "object": removed}}
