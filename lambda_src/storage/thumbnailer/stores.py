"""S3 and DynamoDB behind the few plain calls that the work needs."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from botocore.exceptions import ClientError

from shared.clients import Client
from shared.failures import PermanentFailure

Item: TypeAlias = dict[str, dict[str, Any]]


class ObjectArchived(PermanentFailure):
    """The object is in an archive storage class and cannot be read."""


class ObjectVersion(NamedTuple):
    """The object that is under a key.

    Args:
        version_id: ``"null"`` or empty where the bucket has no versioning.
        etag: The ETag of its content.
        size_bytes: Its size.
        last_modified: When it was written.
    """

    version_id: str
    etag: str
    size_bytes: int
    last_modified: datetime

    @property
    def identity(self) -> tuple[str, str]:
        """Differs from that of any other object that was or will be under the key."""
        return self.version_id, self.etag


class OpenedObject:
    """An object whose bytes have not been read yet.

    Args:
        response: The response of GetObject.

    Attributes:
        version (ObjectVersion): Which object it is.
    """

    def __init__(self, response: Mapping[str, Any]) -> None:
        self.version = _version(response)
        self._body = response["Body"]

    def read(self) -> bytes:
        """Return all of its bytes."""
        data: bytes = self._body.read()
        return data

    def close(self) -> None:
        """Close the connection without reading the rest."""
        self._body.close()


def _version(response: Mapping[str, Any]) -> ObjectVersion:
    return ObjectVersion(
        version_id=response.get("VersionId", ""),
        etag=response["ETag"].strip('"'),
        size_bytes=response["ContentLength"],
        last_modified=response["LastModified"],
    )


class SourceBucket:
    """The bucket with the pictures.

    Args:
        s3: A client of S3.
    """

    def __init__(self, s3: Client) -> None:
        self._s3 = s3

    def open(self, bucket: str, key: str) -> OpenedObject | None:
        """Return the object that is there now, its bytes not read yet; None if there is none.

        Raises:
            ObjectArchived: Its storage class does not allow reading.
        """
        try:
            return OpenedObject(self._s3.get_object(Bucket=bucket, Key=key))
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "NoSuchKey":
                return None
            if code == "InvalidObjectState":
                raise ObjectArchived(
                    "the object is in an archive storage class; restore it, then send its event again"
                ) from error
            raise

    def look(self, bucket: str, key: str) -> ObjectVersion | None:
        """Return which object is there now; None if there is none."""
        try:
            return _version(self._s3.head_object(Bucket=bucket, Key=key))
        except ClientError as error:
            if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                return None
            raise


class DestinationBucket:
    """The bucket for the thumbnails.

    Args:
        s3: A client of S3.
        bucket: Its name.
        content_type: The media type of the thumbnails.
    """

    def __init__(self, s3: Client, bucket: str, content_type: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._content_type = content_type

    def put(self, key: str, data: bytes) -> None:
        """Write a thumbnail."""
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=self._content_type)

    def delete(self, key: str) -> None:
        """Delete a thumbnail if it exists."""
        self._s3.delete_object(Bucket=self._bucket, Key=key)


class StoredThumbnail(NamedTuple):
    """A thumbnail in a row: the size that was asked for, its key, its dimensions and its bytes."""

    size: int
    key: str
    width: int
    height: int
    bytes: int


class Row(NamedTuple):
    """The metadata of a picture."""

    source_key: str
    version_id: str
    etag: str
    sequencer: str
    width: int
    height: int
    format: str
    size_bytes: int
    thumbnails: tuple[StoredThumbnail, ...]
    source_last_modified: str
    made_at: str

    @property
    def identity(self) -> tuple[str, str]:
        """The identity of the object that the row describes."""
        return self.version_id, self.etag


class MetadataTable:
    """The table with a row for every picture.

    Args:
        dynamodb: A client of DynamoDB.
        table: Its name; its partition key is ``source_key``.
    """

    def __init__(self, dynamodb: Client, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def get(self, source_key: str) -> Row | None:
        """Return the current row; None if there is none."""
        response = self._dynamodb.get_item(
            TableName=self._table, Key={"source_key": {"S": source_key}}, ConsistentRead=True
        )
        return _to_row(response["Item"]) if "Item" in response else None

    def put(self, row: Row, *, instead_of: Row | None) -> bool:
        """Write a row unless another invocation has changed it since; return whether it was written."""
        return self._if_unchanged(instead_of, self._dynamodb.put_item, Item=_to_item(row))

    def delete(self, row: Row) -> bool:
        """Delete a row unless another invocation has changed it since; return whether it was deleted."""
        return self._if_unchanged(row, self._dynamodb.delete_item, Key={"source_key": {"S": row.source_key}})

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
            call(TableName=self._table, **arguments, **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ConditionalCheckFailedException":
                return False
            raise
        return True


# boto3's own serializer would import boto3, a tenth of the start (benchmarks/README.md).
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
