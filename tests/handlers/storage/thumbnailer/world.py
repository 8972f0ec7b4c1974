"""The function with its buckets, table and queue in moto."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from tests.handlers import records as events
from tests.handlers.storage.surroundings import (
    AWS,
    QUEUE_URL,
    REGION,
    Client,
    LambdaContext,
    Surroundings,
    arn_of,
)

ARN = arn_of("thumbnailer")

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
    "INCOMPLETE_JPEG": "false",
    "POWERTOOLS_SERVICE_NAME": "thumbnailer",
    "POWERTOOLS_LOG_LEVEL": "INFO",
    **AWS,
}


@dataclass
class Context(LambdaContext):
    """Lambda's context object."""

    function_name: str = "thumbnailer"
    memory_limit_in_mb: int = 1769


VERSION = events.version_id("picture")
FIRST, SECOND, THIRD = (events.sequencer(number) for number in (1, 2, 3))


def record(
    key: str,
    *,
    bucket: str = "pictures",
    name: str = "ObjectCreated:Put",
    sequencer: str = FIRST,
    time: str = "2026-01-01T00:00:00.000Z",
) -> dict[str, Any]:
    """A record with every field that S3 documents for its event."""
    found = events.s3_record(
        key, bucket=bucket, name=name, order=sequencer, version=VERSION, region=REGION
    ) | {"eventTime": time}
    if name == "ObjectRestore:Completed":
        restored = {
            "lifecycleRestorationExpiryTime": "2026-01-03T00:00:00.000Z",
            "lifecycleRestoreStorageClass": "GLACIER",
        }
        found["glacierEventData"] = {"restoreEventData": restored}
    return found


class World(Surroundings):
    """The handler with what is around it."""

    def context(self, **changes: Any) -> LambdaContext:
        """Lambda's context object."""
        return Context(**changes)

    def upload(self, key: str, data: bytes) -> str:
        """Put a picture and return its version."""
        version: str = self.s3.put_object(Bucket="pictures", Key=key, Body=data)["VersionId"]
        return version

    def about(self, key: str, *, bucket: str = "pictures", sequencer: str = FIRST) -> dict[str, Any]:
        """The record about the current object, with its version."""
        head = self.s3.head_object(Bucket=bucket, Key=key)
        one = record(key, bucket=bucket, sequencer=sequencer)
        one["s3"]["object"] |= {"eTag": head["ETag"].strip('"'), "size": head["ContentLength"]}
        one["s3"]["object"].pop("versionId")
        if "VersionId" in head:
            one["s3"]["object"]["versionId"] = head["VersionId"]
        return one

    def remove(self, key: str) -> None:
        """Delete a picture, as a user does."""
        self.s3.delete_object(Bucket="pictures", Key=key)

    @contextmanager
    def settings(self, **changes: object) -> Iterator[None]:
        """Change the function's settings while the body runs."""
        synchroniser = self.function.synchroniser
        with mock.patch.object(synchroniser, "settings", synchroniser.settings._replace(**changes)):
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


@contextmanager
def answering(client: Client, operation: str, answer: Callable[..., object]) -> Iterator[list[object]]:
    """Answer an operation of a client without reaching its service; collect the requests."""
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


class Raw(io.BytesIO):
    """The body of a response."""

    def stream(self, **_: object) -> Iterator[bytes]:
        """Yield all of it."""
        yield self.read()


def error(status: int, code: str = "") -> Callable[..., AWSResponse]:
    """Answer with an error, in the XML of S3, or with an empty body as for HEAD."""
    body = f"<Error><Code>{code}</Code><Message>so it is</Message></Error>".encode() if code else b""
    return lambda request: AWSResponse(request.url, status, HTTPHeaders(), Raw(body))
