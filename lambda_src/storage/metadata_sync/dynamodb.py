"""Rows in a DynamoDB table: partition key ``bucket``, sort key ``key``.

Sort keys and S3 keys are alike: strings of up to 1,024 bytes that sort by their UTF-8. So the rows of a
bucket are in the order of its listing. Each write is one conditional ``UpdateItem``.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any, cast

from botocore.exceptions import ClientError

from shared.clients import Client
from shared.items import Item, from_item, to_item

from .objects import Cause, Row, StoredObject, Unstorable, WrongTable

# A sort key that only rises would send all writes of the index to one partition.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-indexes-gsi-sharding.html
MODIFIED_SHARDS = 8
RECONCILER = "#reconciler"  # "#" is not allowed in the name of a bucket

_REFUSED = "ConditionalCheckFailedException"

_UNSTORABLE = ("ValidationException", "SerializationException")
_DESCRIBED = tuple(one.name for one in fields(StoredObject))
_WRITTEN = (*_DESCRIBED, "modified_shard", "deleted", "expires_at", "event_name", "event_time")


class DynamoTable:
    """The rows of a bucket, and the state of its reconciler in an item of the same table.

    Args:
        dynamodb: A client of DynamoDB.
        table: The name of the table.
        bucket: The name of the bucket.
        tombstone_seconds: How long a tombstone is retained.
        state_name: Distinguishes the state of this reconciler from that of others. Default: the bucket.
        clock: Returns the time in seconds since 1970; tests replace it.
    """

    def __init__(
        self,
        dynamodb: Client,
        table: str,
        bucket: str,
        *,
        tombstone_seconds: int,
        state_name: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._bucket = bucket
        self._state_name = state_name or bucket
        self._tombstone_seconds = tombstone_seconds
        self._clock = clock

    def read(self, key: str) -> Row | None:
        """Return the current row."""
        return _to_row(self._get(self._key(key)))

    def write_newer(
        self, key: str, seen: StoredObject | None, *, sequencer: str, cause: Cause
    ) -> tuple[bool, Row | None]:
        """Write a row unless it has this sequencer or a later one; return the row afterwards."""
        values = {**self._values(key, seen, cause), "sequencer": sequencer}
        written, item = self._update(self._key(key), values)
        return written, _to_row(item)

    def write_instead(
        self, key: str, seen: StoredObject | None, *, instead_of: Row | None, cause: Cause
    ) -> bool:
        """Write a row if nothing has written it since it was read; return whether it was written."""
        values = {**self._values(key, seen, cause), "looked_at": int(self._clock())}
        return self._update(self._key(key), values, revision=instead_of.revision if instead_of else 0)[0]

    def walk(self, *, after: str, prefix: str) -> Iterator[tuple[str, Row]]:
        """Return all rows with later keys, in the order of the UTF-8 of their keys."""
        condition, names = "#bucket = :bucket", {"#bucket": "bucket"}
        values = {":bucket": self._bucket}
        if prefix:
            condition += " AND begins_with(#key, :prefix)"
            names["#key"], values[":prefix"] = "key", prefix
        asked: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": names,
            "ExpressionAttributeValues": to_item(values),
        }
        if after:
            asked["ExclusiveStartKey"] = self._key(after)
        while True:
            with _explained():
                page = self._dynamodb.query(**asked)
            for item in page["Items"]:
                plain = from_item(item)
                if row := _to_row(plain):
                    yield plain["key"], row
            if not page.get("LastEvaluatedKey"):
                return
            asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def remove_expired(self) -> None:
        """Do nothing: the time to live of the table removes tombstones."""

    def load_state(self) -> tuple[str, int]:
        """Return the state that was saved last, and its revision; at first an empty string and 0."""
        item = self._get(self._state_key())
        return item.get("state", ""), item.get("revision", 0)

    def save_state(self, state: str, revision: int) -> bool:
        """Save the state if it still has this revision; return whether it was saved."""
        return self._update(self._state_key(), {"state": state}, revision=revision)[0]

    def _get(self, key: Item) -> dict[str, Any]:
        with _explained():
            answer = self._dynamodb.get_item(TableName=self._table, Key=key, ConsistentRead=True)
        return from_item(answer.get("Item", {}))

    def _update(
        self, key: Item, values: Mapping[str, Any], *, revision: int | None = None
    ) -> tuple[bool, dict[str, Any]]:
        """Write values, remove the others that a row has of an object, and raise the revision.

        Args:
            key: The key of the item.
            values: The values.
            revision: What the item must have, 0 for no item. Default: an older sequencer than in the values.

        Returns:
            Whether it was written, and the item afterwards.
        """
        absent = [name for name in _WRITTEN if name not in values]
        changes = "SET #revision = if_not_exists(#revision, :none) + :one"
        changes += "".join(f", #{name} = :{name}" for name in values)
        changes += f" REMOVE {', '.join(f'#{name}' for name in absent)}"
        given = {f":{name}": value for name, value in values.items()} | {":none": 0, ":one": 1}
        names = {*values, *absent, "revision"}
        if revision is None:
            condition = "attribute_not_exists(#sequencer) OR #sequencer < :sequencer"
        elif revision:
            condition, given = "#revision = :read", given | {":read": revision}
        else:
            condition = "attribute_not_exists(#revision)"
        try:
            with _explained():
                answer = self._dynamodb.update_item(
                    TableName=self._table,
                    Key=key,
                    UpdateExpression=changes,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={f"#{name}": name for name in names},
                    ExpressionAttributeValues=to_item(given),
                    ReturnValues="ALL_NEW",
                    ReturnValuesOnConditionCheckFailure="ALL_OLD",
                )
        except ClientError as error:
            if error.response["Error"]["Code"] != _REFUSED:
                raise
            return False, from_item(
                cast(Any, error.response).get("Item", {})
            )  # botocore adds it to the error
        return True, from_item(answer["Attributes"])

    def _values(self, key: str, seen: StoredObject | None, cause: Cause) -> dict[str, Any]:
        values = {"event_name": cause.name, "event_time": cause.time, "deleted": seen is None}
        if seen is None:
            return {**values, "expires_at": int(self._clock()) + self._tombstone_seconds}
        shard = zlib.crc32(key.encode()) % MODIFIED_SHARDS
        described = {name: value for name, value in asdict(seen).items() if value or name == "size"}
        return {**values, **described, "modified_shard": f"{self._bucket}#{shard}"}

    def _key(self, key: str) -> Item:
        return to_item({"bucket": self._bucket, "key": key})

    def _state_key(self) -> Item:
        return to_item({"bucket": RECONCILER, "key": self._state_name})


@contextmanager
def _explained() -> Iterator[None]:
    """Raise errors that no retry changes as permanent failures.

    Raises:
        WrongTable: The table has other keys.
        Unstorable: DynamoDB cannot store something.
    """
    try:
        yield
    except ClientError as error:
        code, message = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
        if code == "ValidationException" and "schema" in message:
            raise WrongTable(
                f"the table needs the partition key bucket and the sort key key, both strings: {error}"
            ) from error
        if code in _UNSTORABLE:
            raise Unstorable(f"DynamoDB cannot store this: {error}") from error
        raise


def _to_row(item: dict[str, Any]) -> Row | None:
    if not item:
        return None
    described = {name: item[name] for name in _DESCRIBED if name in item}
    return Row(
        object=None if item["deleted"] else StoredObject(**described),
        sequencer=item.get("sequencer", ""),
        revision=item["revision"],
        looked_at=item.get("looked_at", 0),
    )
