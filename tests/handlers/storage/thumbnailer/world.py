"""The thumbnailer with its buckets, table and queue around it, in moto."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias
from unittest import mock
from urllib.parse import quote_plus

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from tests.handlers.loading import LoadedHandler

Client: TypeAlias = Any
REGION = "eu-central-1"
ARN = f"arn:aws:lambda:{REGION}:123456789012:function:thumbnailer"

QUEUE_URL = f"https://sqs.{REGION}.amazonaws.com/123456789012/failures"

ENVIRONMENT = {
    "DESTINATION_BUCKET": "thumbnails",
    "TABLE_NAME": "metadata",
    "FAILURE_QUEUE_URL": QUEUE_URL,
    "SIZES": "64,128",
    "OUTPUT_FORMAT": "webp",
    "OUTPUT_PREFIX": "",
    "QUALITY": "80",
    "BACKGROUND": "#ffffff",
    "MAX_OBJECT_SIZE": "200000",
    "MAX_PIXELS": "1000000",
    "POWERTOOLS_SERVICE_NAME": "thumbnailer",
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


@dataclass
class Context:
    """Lambda's context object."""

    function_name: str = "thumbnailer"
    memory_limit_in_mb: int = 1769
    invoked_function_arn: str = ARN
    aws_request_id: str = "b4a7f1c2-0000-4000-8000-000000000000"
    function_version: str = "$LATEST"


def record(
    key: str, *, name: str = "ObjectCreated:Put", sequencer: str = "0A", bucket: str = "pictures"
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
            "object": {"key": quote_plus(key), "sequencer": sequencer},
        },
    }


@dataclass
class World:
    """What is around the handler.

    Args:
        modules: The handler's modules.
        s3: A client that is not the handler's own.
        dynamodb: Likewise.
        sqs: Likewise.
    """

    modules: LoadedHandler
    s3: Client
    dynamodb: Client
    sqs: Client

    def upload(self, key: str, data: bytes) -> str:
        """Put a picture and return its version."""
        version: str = self.s3.put_object(Bucket="pictures", Key=key, Body=data)["VersionId"]
        return version

    def about(self, key: str, *, bucket: str = "pictures", sequencer: str = "0A") -> dict[str, Any]:
        """The record about the object that is there now, with its version as S3 names it."""
        head = self.s3.head_object(Bucket=bucket, Key=key)
        one = record(key, bucket=bucket, sequencer=sequencer)
        one["s3"]["object"] |= {"eTag": head["ETag"].strip('"'), "size": head["ContentLength"]}
        if "VersionId" in head:
            one["s3"]["object"]["versionId"] = head["VersionId"]
        return one

    def remove(self, key: str) -> None:
        """Delete a picture, as a user does."""
        self.s3.delete_object(Bucket="pictures", Key=key)

    def invoke(self, *records: object) -> dict[str, int]:
        """Hand the handler an event with these records."""
        return self.send({"Records": list(records)})

    def send(self, event: object) -> dict[str, int]:
        """Hand the handler an event, by way of JSON as Lambda does."""
        with self.modules.importable():
            outcomes: dict[str, int] = self.modules.handler.handler(json.loads(json.dumps(event)), Context())
        return outcomes

    @contextmanager
    def settings(self, **changes: object) -> Iterator[None]:
        """Let the function have other settings for a while."""
        handler = self.modules.handler
        with mock.patch.object(handler, "settings", handler.settings._replace(**changes)):
            yield

    def thumbnails(self, bucket: str = "thumbnails") -> dict[str, bytes]:
        """All thumbnails, by key."""
        listed = self.s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {
            one["Key"]: self.s3.get_object(Bucket=bucket, Key=one["Key"])["Body"].read() for one in listed
        }

    def row(self, key: str) -> dict[str, Any] | None:
        """The row of a picture, as DynamoDB has it."""
        item: dict[str, Any] | None = self.dynamodb.get_item(
            TableName="metadata", Key={"source_key": {"S": key}}
        ).get("Item")
        return item

    def failures(self) -> list[dict[str, Any]]:
        """The messages in the failure queue; they are taken out."""
        answer = self.sqs.receive_message(QueueUrl=QUEUE_URL, MaxNumberOfMessages=10)
        for message in answer.get("Messages", []):
            self.sqs.delete_message(QueueUrl=QUEUE_URL, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in answer.get("Messages", [])]

    def empty(self) -> None:
        """Leave nothing of a test to the next."""
        for bucket in ("pictures", "thumbnails"):
            listed = self.s3.list_object_versions(Bucket=bucket)
            for one in listed.get("Versions", []) + listed.get("DeleteMarkers", []):
                self.s3.delete_object(Bucket=bucket, Key=one["Key"], VersionId=one["VersionId"])
        for item in self.dynamodb.scan(TableName="metadata")["Items"]:
            self.dynamodb.delete_item(TableName="metadata", Key={"source_key": item["source_key"]})
        while self.failures():  # a purge is allowed once a minute
            pass


@contextmanager
def answering(client: Client, operation: str, answer: Callable[..., object]) -> Iterator[list[object]]:
    """Let an operation of a client be answered without reaching its service; collects the requests."""
    requests: list[object] = []

    def before_send(request: object, **_: object) -> object:
        requests.append(request)
        return answer(request)

    event = f"before-send.{client.meta.service_model.service_id.hyphenize()}.{operation}"
    client.meta.events.register_first(event, before_send)
    try:
        yield requests
    finally:
        client.meta.events.unregister(event, before_send)


def error(status: int, code: str = "") -> Callable[..., AWSResponse]:
    """Answer with an error, in the XML of S3 or without a word, as HEAD does."""
    body = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode() if code else b""

    class Raw(io.BytesIO):
        def stream(self, **_: object) -> Iterator[bytes]:
            yield self.read()

    return lambda request: AWSResponse(request.url, status, HTTPHeaders(), Raw(body))
