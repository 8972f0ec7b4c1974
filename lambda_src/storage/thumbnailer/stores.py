"""S3 and DynamoDB behind the few plain calls that the work needs."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from shared.clients import Client
from shared.failures import PermanentFailure
from shared.items import from_item, to_item


class ObjectArchived(PermanentFailure):
    """The object is in an archive storage class and cannot be read."""


class ObjectEncrypted(PermanentFailure):
    """The object is encrypted with a key that the function does not have or may not use."""


class KeyUnusable(PermanentFailure):
    """The key that encrypts the bucket of the thumbnails, or the table, is disabled or denied."""


class WrongTable(PermanentFailure):
    """The table has other keys, or the rows of another bucket."""


class ObjectVersion(NamedTuple):
    """The object that is under a key.

    Args:
        version_id: ``"null"`` or empty where the bucket has no versioning.
        etag: The ETag of its content.
        size_bytes: Its size.
        last_modified: When it was written; None of an object with a key of the customer (SSE-C).
        is_archived: Whether it has to be restored before it can be read.
        kms_key: The key of AWS KMS that encrypts it, if one does.
    """

    version_id: str
    etag: str
    size_bytes: int
    last_modified: datetime | None
    is_archived: bool = False
    kms_key: str = ""

    @property
    def identity(self) -> tuple[str, str]:
        """Differs from that of any other object that was or will be under the key."""
        return self.version_id, self.etag


# HeadObject is refused without the key, so this is all that is known.
_OF_A_CUSTOMER = ObjectVersion("", "", 0, None)


class OpenedObject:
    """An object whose bytes have not been read yet.

    Args:
        version: Which object it is.
        body: Its bytes as a stream; None if it cannot be read.
        failure: Why it cannot be read.
    """

    def __init__(self, version: ObjectVersion, body: Any, failure: PermanentFailure | None = None) -> None:
        self.version = version
        self.failure = failure
        self._body = body

    def read(self) -> bytes:
        """Return all of its bytes.

        Raises:
            ObjectArchived: Its storage class does not allow it.
            ObjectEncrypted: Its key is not at hand.
        """
        if self.failure is not None:
            raise self.failure
        data: bytes = self._body.read()
        return data

    def close(self) -> None:
        """Close the connection without reading the rest."""
        if self._body is not None:
            self._body.close()


class SourceBucket:
    """The bucket with the pictures. A folder that was made in the console is no object here.

    Args:
        s3: A client of S3.
    """

    def __init__(self, s3: Client) -> None:
        self._s3 = s3

    def open(self, bucket: str, key: str) -> OpenedObject | None:
        """Return the object that is there now, its bytes not read yet; None if there is none."""
        refused: ObjectVersion | None = None
        while True:
            try:
                response = self._s3.get_object(Bucket=bucket, Key=key)
            except ClientError as error:
                if _code(error) in _NOT_THERE:
                    return None
                # The second refusal is about the object that was looked at, or about another one, which the
                # next look shows.
                if refused and (failure := _failure(error, refused)):
                    return OpenedObject(refused, None, failure)
                if refused or not _may_be_about_the_object(error):
                    raise
                try:
                    refused = self.look(bucket, key)
                except ClientError:
                    raise error from None  # a missing permission for all objects
                if refused is None:
                    return None
            else:
                version = _version(response)
                return None if _is_folder(key, version) else OpenedObject(version, response["Body"])

    def look(self, bucket: str, key: str) -> ObjectVersion | None:
        """Return which object is there now; None if there is none."""
        try:
            head = self._s3.head_object(Bucket=bucket, Key=key)
        except ClientError as error:
            if _code(error) in _NOT_THERE:
                return None
            if _code(error) == "400":
                return _OF_A_CUSTOMER
            raise
        version = _version(head)._replace(is_archived=_is_archived(head))
        return None if _is_folder(key, version) else version


# The error of a GET has the key, and XML has no control characters: botocore cannot read it and uses the HTTP
# status as the code (https://github.com/boto/botocore/issues/3496). That of a HEAD has no body.
_NOT_THERE = ("NoSuchKey", "404")


def _code(error: ClientError) -> str:
    return error.response["Error"]["Code"]


def _may_be_about_the_object(error: ClientError) -> bool:
    known = ("InvalidObjectState", "InvalidRequest", "AccessDenied", "400", "403")
    return _code(error) in known or _code(error).startswith("KMS.")


def _failure(error: ClientError, version: ObjectVersion) -> PermanentFailure | None:
    """Return why an object cannot be read although HeadObject, with the same permission, is allowed."""
    if version.is_archived:
        return ObjectArchived(
            "the object is in an archive storage class and cannot be read; "
            "restore it, and its thumbnails are made when the restore completes"
        )
    if version is _OF_A_CUSTOMER:
        return ObjectEncrypted(
            "the object is encrypted with a key of the customer (SSE-C), which S3 asks for"
        )
    if version.kms_key:
        return ObjectEncrypted(f"the object's key {version.kms_key} is disabled or denied: {error}")
    return None


def _is_folder(key: str, version: ObjectVersion) -> bool:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-folders.html."""
    return key.endswith("/") and version.size_bytes == 0 and version is not _OF_A_CUSTOMER


def _version(response: Mapping[str, Any]) -> ObjectVersion:
    return ObjectVersion(
        version_id=response.get("VersionId", ""),
        etag=response["ETag"].strip('"'),
        size_bytes=response["ContentLength"],
        last_modified=response["LastModified"],
        kms_key=response.get("SSEKMSKeyId", ""),
    )


def _is_archived(head: Mapping[str, Any]) -> bool:
    """https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html (restore, archive status)."""
    if head.get("StorageClass") in ("GLACIER", "DEEP_ARCHIVE"):
        return 'ongoing-request="false"' not in head.get("Restore", "")  # there is no restored copy
    return "ArchiveStatus" in head  # in an archive tier of S3 Intelligent-Tiering


@contextmanager
def explained() -> Iterator[None]:
    """Raise errors that no retry changes as permanent failures.

    Raises:
        KeyUnusable: A key of AWS KMS is disabled or denied.
        WrongTable: The table has other keys.
    """
    try:
        yield
    except ClientError as error:
        code, message = _code(error), error.response["Error"].get("Message", "")
        if code.startswith("KMS") or "kms:" in message:
            raise KeyUnusable(f"enable the key, or allow its use: {error}") from error
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/WorkingWithItems.html
        if code == "ValidationException" and "key" in message:
            raise WrongTable(f"the table needs the partition key source_key, a string: {error}") from error
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


class Row(NamedTuple):
    """The metadata of a picture. A thumbnail has ``size``, ``key``, ``width``, ``height``, ``bytes``."""

    source_key: str
    version_id: str
    etag: str
    sequencer: str
    width: int
    height: int
    format: str
    size_bytes: int
    thumbnails: list[dict[str, Any]]
    source_last_modified: str
    made_at: str
    source_bucket: str = ""

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
        return Row(**from_item(response["Item"])) if "Item" in response else None

    def put(self, row: Row, *, instead_of: Row | None) -> bool:
        """Write a row unless another invocation has changed it since; return whether it was written."""
        return self._if_unchanged(instead_of, self._dynamodb.put_item, Item=to_item(row._asdict()))

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
