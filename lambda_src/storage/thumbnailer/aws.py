"""S3, DynamoDB and SQS behind the few plain calls that the rest of the handler makes.

Clients are made with botocore itself: ``boto3.client`` makes the very same ones, and importing boto3 as well
would cost a quarter of the start (``benchmarks/README.md``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError

from errors import ObjectArchived
from stores import ObjectVersion, OpenedObject, Row, StoredThumbnail

Client: TypeAlias = Any  # botocore makes the methods of a client when it makes the client
Item: TypeAlias = dict[str, dict[str, Any]]

# An attempt that hangs must not use up the function's minute: with these, four attempts fit. `standard` also
# knows which errors of which service are worth repeating.
# https://docs.aws.amazon.com/boto3/latest/guide/retries.html
_CONFIG = Config(
    connect_timeout=2,
    read_timeout=8,
    retries={"mode": "standard", "total_max_attempts": 4},
    tcp_keepalive=True,
)


@dataclass(frozen=True)
class Clients:
    """The clients of the services, each made once."""

    s3: Client
    dynamodb: Client
    sqs: Client


def make_clients() -> Clients:
    """Make the clients, for the Region and with the credentials of the function."""
    session = botocore.session.get_session()
    return Clients(*(session.create_client(name, config=_CONFIG) for name in ("s3", "dynamodb", "sqs")))


@dataclass
class _S3Object:
    version: ObjectVersion
    body: Any

    def read(self) -> bytes:
        data: bytes = self.body.read()
        return data

    def close(self) -> None:
        self.body.close()


@dataclass(frozen=True)
class SourceBucket:
    """The objects of a bucket as they are now."""

    s3: Client

    def open(self, bucket: str, key: str) -> OpenedObject | None:
        """Return the object, its bytes not read yet.

        Raises:
            ObjectArchived: Nothing can be read from its storage class.
        """
        try:
            answer = self.s3.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "NoSuchKey":
                return None
            if code == "InvalidObjectState":
                raise ObjectArchived(
                    "the object is in an archive storage class; restore it, then send its event again"
                ) from error
            raise
        return _S3Object(_version(answer), answer["Body"])

    def look(self, bucket: str, key: str) -> ObjectVersion | None:
        """Say which object it is."""
        try:
            return _version(self.s3.head_object(Bucket=bucket, Key=key))
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                return None
            raise


def _version(answer: Mapping[str, Any]) -> ObjectVersion:
    return ObjectVersion(
        version_id=answer.get("VersionId", ""),
        etag=answer["ETag"].strip('"'),
        size_bytes=answer["ContentLength"],
        last_modified=answer["LastModified"],
    )


@dataclass(frozen=True)
class DestinationBucket:
    """The bucket for the thumbnails."""

    s3: Client
    bucket: str
    content_type: str

    def put(self, key: str, data: bytes) -> None:
        """Write a thumbnail."""
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=data, ContentType=self.content_type)

    def delete(self, key: str) -> None:
        """Delete a thumbnail, if it is there."""
        self.s3.delete_object(Bucket=self.bucket, Key=key)


@dataclass(frozen=True)
class MetadataTable:
    """The table with a row for every picture; its partition key is ``source_key``."""

    dynamodb: Client
    table: str

    def get(self, source_key: str) -> Row | None:
        """Return the row as it is now."""
        answer = self.dynamodb.get_item(
            TableName=self.table, Key={"source_key": {"S": source_key}}, ConsistentRead=True
        )
        return _to_row(answer["Item"]) if "Item" in answer else None

    def put(self, row: Row, *, instead_of: Row | None) -> bool:
        """Write a row if nobody else has written it since; say whether that was so."""
        return self._if_unchanged(instead_of, self.dynamodb.put_item, Item=_to_item(row))

    def delete(self, row: Row) -> bool:
        """Delete a row if nobody else has written it since; say whether that was so."""
        return self._if_unchanged(row, self.dynamodb.delete_item, Key={"source_key": {"S": row.source_key}})

    def _if_unchanged(self, row: Row | None, call: Client, **arguments: object) -> bool:
        if row is None:
            condition: dict[str, object] = {"ConditionExpression": "attribute_not_exists(source_key)"}
        else:
            condition = {
                "ConditionExpression": "version_id = :v AND etag = :e AND sequencer = :s AND made_at = :m",
                "ExpressionAttributeValues": {
                    ":v": {"S": row.version_id},
                    ":e": {"S": row.etag},
                    ":s": {"S": row.sequencer},
                    ":m": {"S": row.made_at},
                },
            }
        try:
            call(TableName=self.table, **arguments, **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True


_TEXTS = ("source_key", "version_id", "etag", "sequencer", "format", "source_last_modified", "made_at")
_NUMBERS = ("width", "height", "size_bytes")


def _to_item(row: Row) -> Item:
    item: Item = {name: {"S": getattr(row, name)} for name in _TEXTS}
    item |= {name: {"N": str(getattr(row, name))} for name in _NUMBERS}
    item["thumbnails"] = {
        "L": [
            {
                "M": {
                    "size": {"N": str(one.size)},
                    "key": {"S": one.key},
                    "width": {"N": str(one.width)},
                    "height": {"N": str(one.height)},
                    "bytes": {"N": str(one.bytes)},
                }
            }
            for one in row.thumbnails
        ]
    }
    return item


def _to_row(item: Item) -> Row:
    fields: dict[str, Any] = {name: item[name]["S"] for name in _TEXTS}
    fields |= {name: int(item[name]["N"]) for name in _NUMBERS}
    thumbnails = (one["M"] for one in item["thumbnails"]["L"])
    return Row(
        **fields,
        thumbnails=tuple(
            StoredThumbnail(
                size=int(one["size"]["N"]),
                key=one["key"]["S"],
                width=int(one["width"]["N"]),
                height=int(one["height"]["N"]),
                bytes=int(one["bytes"]["N"]),
            )
            for one in thumbnails
        ),
    )


@dataclass(frozen=True)
class FailureQueue:
    """The queue for what failed for good."""

    sqs: Client
    url: str

    def send(self, body: str) -> None:
        """Send a message."""
        self.sqs.send_message(QueueUrl=self.url, MessageBody=body)
