"""The functions with bucket, table and queue around them, in moto."""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

from tests.handlers import records as events
from tests.handlers.storage.surroundings import (
    AWS,
    QUEUE_URL,
    REGION,
    LambdaContext,
    Surroundings,
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
    "DB_HOST": "metadata.proxy-c9akciq32rgv.eu-central-1.rds.amazonaws.com",
    "DB_PORT": "5432",
    "DB_NAME": "metadata",
    "DB_USER": "metadata_owner",
}


@dataclass
class Context(LambdaContext):
    """Lambda's context object."""

    function_name: str = "metadata-sync"
    memory_limit_in_mb: int = 512


# As in a multipart upload into a bucket with versions.
_OF_PARTS: dict[str, Any] = {
    "size": 98_765_432,
    "tag": events.multipart_etag("photo", 12),
    "version": events.version_id("photo"),
    "region": REGION,
}


def record(key: str, *, bucket: str = "photos", **changes: Any) -> dict[str, Any]:
    """A record as S3 sends it; `order` is its sequencer."""
    return events.s3_record(key, bucket=bucket, **changes, **_OF_PARTS)


def bridge_event(key: str, *, bucket: str = "photos", **changes: Any) -> dict[str, Any]:
    """An event as EventBridge delivers it; `order` is its sequencer."""
    reason = "CompleteMultipartUpload"
    return events.s3_bridge_event(key, bucket=bucket, reason=reason, **changes, **_OF_PARTS)


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
