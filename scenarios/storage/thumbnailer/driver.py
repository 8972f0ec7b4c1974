"""A deployed thumbnailer: upload and delete pictures, look at rows and thumbnails, clean up."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from boto3.dynamodb.types import TypeDeserializer
from botocore.exceptions import ClientError
from PIL import Image

from scenarios.framework import DeployedStack, NotYet, ScenarioFailed, require
from scenarios.support.failure_queue import FailureQueue
from scenarios.support.redrive import FailedEvent


@dataclass(frozen=True)
class Thumbnail:
    """A thumbnail in the destination bucket."""

    key: str
    data: bytes
    picture: Image.Image


class Thumbnailer:
    """The deployed stack for one run, whose keys have a prefix of their own; it deletes them at the end.

    Args:
        stack: The deployed stack.

    Attributes:
        prefix: Prefix of the keys of this run.
        sizes: Longest edges of the thumbnails, as the function is configured.
        role: Name of the function's role.
        failures: The messages of this run in the failure queue.
    """

    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._s3 = stack.client("s3")
        self._source = stack.output("SourceBucketName")
        self._destination = stack.output("DestinationBucketName")
        self._table = stack.output("TableName")
        self.function = stack.output("FunctionName")
        self.queue_url = stack.output("FailureQueueUrl")
        self.run_id = f"run-{uuid.uuid4().hex[:10]}"
        self.prefix = f"{stack.output('SourcePrefix')}{self.run_id}/"
        configuration = stack.client("lambda").get_function_configuration(FunctionName=self.function)
        environment = configuration["Environment"]["Variables"]
        self.sizes = tuple(int(size) for size in environment["SIZES"].split(","))
        self.role = configuration["Role"].rpartition("/")[2]
        self._output_prefix = environment["OUTPUT_PREFIX"]
        self._uploaded: set[str] = set()
        self.failures = FailureQueue(stack, self.queue_url, self._is_ours)

    def __enter__(self) -> Thumbnailer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clean_up()

    # --- The source bucket

    def upload(self, key: str, data: bytes) -> str:
        """Put an object, and return its version."""
        self._uploaded.add(key)
        version: str = self._s3.put_object(Bucket=self._source, Key=key, Body=data)["VersionId"]
        return version

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects as a user does: with a delete marker on top of the versions."""
        objects = [{"Key": key} for key in keys]
        answer = self._s3.delete_objects(Bucket=self._source, Delete={"Objects": objects})
        require(not answer.get("Errors"), f"S3 did not delete: {answer.get('Errors')}")

    # --- Rows and thumbnails

    def row(self, key: str) -> dict[str, Any] | None:
        """Return the row of an object, or None."""
        answer = self._stack.client("dynamodb").get_item(
            TableName=self._table, Key={"source_key": {"S": key}}, ConsistentRead=True
        )
        if "Item" not in answer:
            return None
        return {name: TypeDeserializer().deserialize(value) for name, value in answer["Item"].items()}

    def wait_for_row(self, key: str, version: str) -> dict[str, Any]:
        """Wait for the row of this version; fail at once if its event is in the failure queue."""

        def check() -> dict[str, Any]:
            row = self.row(key)
            if row is not None and row.get("version_id") == version:
                return row
            self._check_that_it_did_not_fail(key)
            raise NotYet("no row" if row is None else f"the row of version {row.get('version_id')}")

        return self._stack.wait_until(check, f"row of {key}, version {version}")

    def _check_that_it_did_not_fail(self, key: str, expected: str = "") -> None:
        for failed in self.failures.poll():
            well = key not in keys_in(failed) or failed.condition == expected
            require(well, f"{key} failed: {failed.condition}: {failed.reason}")

    def thumbnails(self, row: dict[str, Any]) -> list[Thumbnail]:
        """Download the thumbnails in a row."""
        return [self._fetch(str(entry["key"])) for entry in row["thumbnails"]]

    def _fetch(self, key: str) -> Thumbnail:
        data = self._s3.get_object(Bucket=self._destination, Key=key)["Body"].read()
        picture = Image.open(io.BytesIO(data))
        picture.load()
        return Thumbnail(key, data, picture)

    def written(self, row: dict[str, Any]) -> dict[str, str]:
        """Return when each of the thumbnails in a row was written, by key."""
        heads = {
            key: self._s3.head_object(Bucket=self._destination, Key=key)
            for key in (str(entry["key"]) for entry in row["thumbnails"])
        }
        return {key: str(head["LastModified"]) for key, head in heads.items()}

    def in_destination(self) -> set[str]:
        """Return the keys of this run's thumbnails, except shortened ones."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._destination, Prefix=f"{self._output_prefix}{self.prefix}"
        )
        return {one["Key"] for page in pages for one in page.get("Contents", [])}

    def wait_until_gone(self, key: str, row: dict[str, Any]) -> None:
        """Wait until the row and its thumbnails are deleted."""

        def check() -> None:
            if self.row(key) is not None:
                self._check_that_it_did_not_fail(key, expected="PermanentFailure")
                raise NotYet("the row is still there")
            for entry in row["thumbnails"]:
                if self._exists(str(entry["key"])):
                    raise NotYet(f"thumbnail {entry['key']} is still there")

        self._stack.wait_until(check, f"deletion of row and thumbnails of {key}")

    def _exists(self, key: str) -> bool:
        try:
            self._s3.head_object(Bucket=self._destination, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return False
            raise
        return True

    # --- The function

    def invoke(self, event: dict[str, Any]) -> None:
        """Invoke the function synchronously; it must succeed."""
        answer = self._stack.client("lambda").invoke(FunctionName=self.function, Payload=json.dumps(event))
        if "FunctionError" in answer:
            raise ScenarioFailed(f"the function failed when invoked: {answer['Payload'].read().decode()}")

    def event(self, name: str, key: str, row: dict[str, Any], sequencer: str) -> dict[str, Any]:
        """Return an event from S3 about the object that a row describes.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
        """
        described = {"key": quote_plus(key, safe="/"), "versionId": row["version_id"], "sequencer": sequencer}
        bucket = {
            "name": self._source,
            "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
            "arn": f"arn:aws:s3:::{self._source}",
        }
        if name.startswith("ObjectCreated"):
            described |= {"size": int(row["size_bytes"]), "eTag": str(row["etag"])}
        return {
            "Records": [
                {
                    "eventVersion": "2.1",
                    "eventSource": "aws:s3",
                    "awsRegion": self._stack.session.region_name,
                    "eventTime": "2026-01-01T00:00:00.000Z",
                    "eventName": name,
                    "userIdentity": {"principalId": "AWS:AROAEXAMPLEEXAMPLE12:uploader"},
                    "requestParameters": {"sourceIPAddress": "203.0.113.7"},
                    "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810", "x-amz-id-2": "FMyUVURIY8="},
                    "s3": {
                        "s3SchemaVersion": "1.0",
                        "configurationId": "thumbnails",
                        "bucket": bucket,
                        "object": described,
                    },
                }
            ]
        }

    # --- Clean up

    def _is_ours(self, failed: FailedEvent) -> bool:
        return any(self.run_id in key for key in keys_in(failed))

    def _clean_up(self) -> None:
        """Delete every version, row, thumbnail and message of this run, also when it failed."""
        for kind in ("Versions", "DeleteMarkers"):  # versions first: a late event then finds no object
            self._delete(self._source, self._versions(kind))
        thumbnails = self.in_destination()
        for key in self._uploaded:
            row = self.row(key)
            if row is not None:
                thumbnails |= {str(entry["key"]) for entry in row["thumbnails"]}
                self._stack.client("dynamodb").delete_item(
                    TableName=self._table, Key={"source_key": {"S": key}}
                )
        self._delete(self._destination, [{"Key": key} for key in thumbnails])
        self.failures.close()

    def _versions(self, kind: str) -> list[dict[str, str]]:
        prefixes = {self.prefix, *(key for key in self._uploaded if not key.startswith(self.prefix))}
        return [
            {"Key": one["Key"], "VersionId": one["VersionId"]}
            for prefix in prefixes
            for page in self._s3.get_paginator("list_object_versions").paginate(
                Bucket=self._source, Prefix=prefix
            )
            for one in page.get(kind, [])
        ]

    def _delete(self, bucket: str, objects: list[dict[str, str]]) -> None:
        for one in objects:  # one by one: the XML of DeleteObjects cannot contain every key
            self._s3.delete_object(Bucket=bucket, **one)


def keys_in(failed: FailedEvent) -> list[str]:
    """Return the keys of the objects that a failed event is about."""
    records = failed.event.get("Records", []) if isinstance(failed.event, dict) else []
    return [unquote_plus(record["s3"]["object"]["key"]) for record in records if "s3" in record]
