"""S3 and DynamoDB behind the few plain calls that the rest of the handler makes."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from botocore.exceptions import ClientError
from errors import ObjectArchived
from stores import ObjectVersion, OpenedObject, Row, StoredThumbnail

from shared.clients import Client

Item: TypeAlias = dict[str, dict[str, Any]]


class _S3Object:
    def __init__(self, answer: Mapping[str, Any]) -> None:
        self.version = _version(answer)
        self._body = answer["Body"]

    def read(self) -> bytes:
        data: bytes = self._body.read()
        return data

    def close(self) -> None:
        self._body.close()


class SourceBucket:
    """The objects of a bucket as they are now."""

    def __init__(self, s3: Client) -> None:
        self._s3 = s3

    def open(self, bucket: str, key: str) -> OpenedObject | None:
        """Return the object, its bytes not read yet.

        Raises:
            ObjectArchived: Nothing can be read from its storage class.
        """
        try:
            answer = self._s3.get_object(Bucket=bucket, Key=key)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "NoSuchKey":
                return None
            if code == "InvalidObjectState":
                raise ObjectArchived(
                    "the object is in an archive storage class; restore it, then send its event again"
                ) from error
            raise
        return _S3Object(answer)

    def look(self, bucket: str, key: str) -> ObjectVersion | None:
        """Say which object it is."""
        try:
            return _version(self._s3.head_object(Bucket=bucket, Key=key))
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


class DestinationBucket:
    """The bucket for the thumbnails."""

    def __init__(self, s3: Client, bucket: str, content_type: str) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._content_type = content_type

    def put(self, key: str, data: bytes) -> None:
        """Write a thumbnail."""
        self._s3.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=self._content_type)

    def delete(self, key: str) -> None:
        """Delete a thumbnail, if it is there."""
        self._s3.delete_object(Bucket=self._bucket, Key=key)


class MetadataTable:
    """The table with a row for every picture; its partition key is ``source_key``."""

    def __init__(self, dynamodb: Client, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table

    def get(self, source_key: str) -> Row | None:
        """Return the row as it is now."""
        answer = self._dynamodb.get_item(
            TableName=self._table, Key={"source_key": {"S": source_key}}, ConsistentRead=True
        )
        return _to_row(answer["Item"]) if "Item" in answer else None

    def put(self, row: Row, *, instead_of: Row | None) -> bool:
        """Write a row if nobody else has written it since; say whether that was so."""
        return self._if_unchanged(instead_of, self._dynamodb.put_item, Item=_to_item(row))

    def delete(self, row: Row) -> bool:
        """Delete a row if nobody else has written it since; say whether that was so."""
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
