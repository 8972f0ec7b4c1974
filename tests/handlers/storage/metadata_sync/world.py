"""The functions with bucket, table and queue around them, in moto."""

import json
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import quote_plus

from tests.handlers.loading import LoadedHandler

Client: TypeAlias = Any
REGION = "eu-central-1"
ARN = f"arn:aws:lambda:{REGION}:123456789012:function:metadata-sync"
QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/123456789012/failures"

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
    # Where botocore looks for a Region and credentials; nothing of the machine's own is used.
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing",
    "AWS_SESSION_TOKEN": "testing",
    "AWS_CONFIG_FILE": "/nonexistent",
    "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
    "AWS_EC2_METADATA_DISABLED": "true",
}
POSTGRES = {
    "TARGET": "postgres",
    "DB_HOST": "metadata.proxy-abc.eu-central-1.rds.amazonaws.com",
    "DB_PORT": "5432",
    "DB_NAME": "metadata",
    "DB_USER": "metadata_owner",
}


@dataclass
class Context:
    """Lambda's context object."""

    function_name: str = "metadata-sync"
    memory_limit_in_mb: int = 512
    invoked_function_arn: str = ARN
    aws_request_id: str = "b4a7f1c2-0000-4000-8000-000000000000"
    function_version: str = "$LATEST"
    milliseconds: int = 300_000

    def get_remaining_time_in_millis(self) -> int:  # noqa: D102 - Lambda's own
        return self.milliseconds


def record(
    key: str, *, name: str = "ObjectCreated:Put", sequencer: str = "0A", bucket: str = "photos"
) -> dict[str, Any]:
    """A record as S3 writes it."""
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": REGION,
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": name,
        "s3": {
            "bucket": {"name": bucket, "arn": f"arn:aws:s3:::{bucket}"},
            "object": {"key": quote_plus(key), **({"sequencer": sequencer} if sequencer else {})},
        },
    }


def bridge_event(
    key: str, *, name: str = "Object Created", sequencer: str = "0A", bucket: str = "photos"
) -> dict[str, Any]:
    """An event as EventBridge hands it over."""
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
            "object": {"key": key, "etag": "e", **({"sequencer": sequencer} if sequencer else {})},
            "request-id": "N4N7GDK58NMKJ12R",
        },
    }


@dataclass
class World:
    """What is around the functions.

    Args:
        modules: Their modules.
        s3: A client that is not the functions' own.
        dynamodb: Likewise.
        sqs: Likewise.
    """

    modules: LoadedHandler
    s3: Client
    dynamodb: Client
    sqs: Client

    def put(self, key: str, data: bytes = b"data", **options: Any) -> str:  # noqa: ANN401
        """Put an object and return its version."""
        version: str = self.s3.put_object(Bucket="photos", Key=key, Body=data, **options)["VersionId"]
        return version

    def invoke(self, *records: object) -> dict[str, int]:
        """Hand the function a notification with these records."""
        return self.send({"Records": list(records)})

    def send(self, event: object) -> dict[str, int]:
        """Hand the function an event, by way of JSON as Lambda does."""
        with self.modules.importable():
            outcomes: dict[str, int] = self.modules.handler.handler(json.loads(json.dumps(event)), Context())
        return outcomes

    def reconcile(self, payload: object = None, **context: Any) -> dict[str, Any]:  # noqa: ANN401
        """Let the schedule tick."""
        with self.modules.importable():
            answer: dict[str, Any] = self.modules.reconciler.handler(payload or {}, Context(**context))
        return answer

    def row(self, key: str) -> dict[str, Any] | None:
        """The row of an object, as DynamoDB has it."""
        answer = self.dynamodb.get_item(
            TableName="metadata", Key={"bucket": {"S": "photos"}, "key": {"S": key}}
        )
        item: dict[str, Any] | None = answer.get("Item")
        return item

    def failures(self) -> list[dict[str, Any]]:
        """The messages in the failure queue; they are taken out."""
        answer = self.sqs.receive_message(QueueUrl=QUEUE_URL, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.sqs.delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def empty(self) -> None:
        """Leave nothing of a test to the next."""
        listed = self.s3.list_object_versions(Bucket="photos")
        for one in listed.get("Versions", []) + listed.get("DeleteMarkers", []):
            self.s3.delete_object(Bucket="photos", Key=one["Key"], VersionId=one["VersionId"])
        for item in self.dynamodb.scan(TableName="metadata")["Items"]:
            key = {"bucket": item["bucket"], "key": item["key"]}
            self.dynamodb.delete_item(TableName="metadata", Key=key)
        while self.failures():  # a purge is allowed once a minute
            pass
