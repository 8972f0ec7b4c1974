"""The functions with bucket, table and queue around them, in moto."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tests.handlers.storage.surroundings import (
    AWS,
    QUEUE_URL,
    REGION,
    LambdaContext,
    Surroundings,
    record_of,
)

ENVIRONMENT = {
    "TARGET": "dynamodb",
    "TABLE_NAME": "metadata",
    "BUCKET_NAME": "photos",
    "PREFIX": "",
    "SUFFIXES": "[]",
    "FAILURE_QUEUE_URL": QUEUE_URL,
    "USER_METADATA": "true",
    "TAGS": "true",
    "TOMBSTONE_DAYS": "15",
    "RECONCILE_EVERY_SECONDS": "86400",
    "POWERTOOLS_SERVICE_NAME": "metadata-sync",
    "POWERTOOLS_METRICS_NAMESPACE": "MetadataSync",
    "POWERTOOLS_LOG_LEVEL": "INFO",
    **AWS,
}
POSTGRES = {
    "TARGET": "postgres",
    "DB_HOST": "metadata.proxy-abc.eu-central-1.rds.amazonaws.com",
    "DB_PORT": "5432",
    "DB_NAME": "metadata",
    "DB_USER": "metadata_owner",
}


@dataclass
class Context(LambdaContext):
    """Lambda's context object."""

    function_name: str = "metadata-sync"
    memory_limit_in_mb: int = 512


# Values of the lengths that S3 sends, as in a multipart upload into a bucket with versions.
ETAG = "9b2cf535f27731c974343645a3985328-12"
VERSION = "4HL4kqtJvjVBH40Nrjfkd0.Q2vXsTzLm"
HOST_ID = "FMyUVURIY8/IgAtTv8xRjskZQpcIZ9KG4V5Wp6S7S/JRWeUWerMUE5JgHvANOjpD"


def record(key: str, *, bucket: str = "photos", **changes: str) -> dict[str, Any]:
    """A record with all fields that S3 documents.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
    """
    made = record_of(key, bucket=bucket, **changes)
    made["s3"]["object"] |= {"size": 98_765_432, "eTag": ETAG, "versionId": VERSION}
    made["s3"] |= {"s3SchemaVersion": "1.0", "configurationId": "4f6b2f4e-6a1f-4d43-b42c-4a0a8c1d2e3f"}
    made["s3"]["bucket"]["ownerIdentity"] = {"principalId": "A3NL1KOZZKExample"}
    return made | {
        "userIdentity": {"principalId": "AWS:AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "203.0.113.10"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": HOST_ID},
    }


def bridge_event(
    key: str, *, name: str = "Object Created", sequencer: str = "0055AED6DCD90281E5", bucket: str = "photos"
) -> dict[str, Any]:
    """An event as EventBridge delivers it."""
    return {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": name,
        "source": "aws.s3",
        "account": "123456789012",
        "time": "2026-01-01T00:00:00Z",
        "region": REGION,
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": bucket},
            "object": {
                "key": key,
                "size": 98_765_432,
                "etag": ETAG,
                "version-id": VERSION,
                **({"sequencer": sequencer} if sequencer else {}),
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "203.0.113.10",
            "reason": "CompleteMultipartUpload",
        },
    }


@dataclass
class World(Surroundings):
    """Both functions and their surroundings.

    Args:
        reconciler: The module of the reconciler's handler.
    """

    reconciler: ModuleType

    def context(self, **changes: Any) -> LambdaContext:
        """Lambda's context object for an invocation."""
        return Context(**changes)

    def put(self, key: str, data: bytes = b"data", **options: Any) -> str:
        """Put an object and return its version."""
        version: str = self.s3.put_object(Bucket="photos", Key=key, Body=data, **options)["VersionId"]
        return version

    def reconcile(self, payload: object = None, **context: Any) -> dict[str, Any]:
        """Invoke the reconciler as the schedule does, or with a payload."""
        answer: dict[str, Any] = self.reconciler.handler(payload or {}, self.context(**context))
        return answer

    def row(self, key: str) -> dict[str, Any] | None:
        """The row of an object, as an item of DynamoDB."""
        answer = self.dynamodb.get_item(
            TableName="metadata", Key={"bucket": {"S": "photos"}, "key": {"S": key}}
        )
        item: dict[str, Any] | None = answer.get("Item")
        return item
