"""Rows in a DynamoDB table: partition key ``bucket``, sort key ``key``.

Sort keys and S3 keys are alike: strings of up to 1,024 bytes that sort by their UTF-8. So the rows of a
bucket are in the order of its listing. Each write is one conditional ``UpdateItem``.

https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
"""

import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from botocore.exceptions import ClientError

from shared.clients import Client

from .objects import Cause, Row, StoredObject

Item: TypeAlias = dict[str, dict[str, Any]]

# A sort key that only rises would send all writes of the index to one partition.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-indexes-gsi-sharding.html
MODIFIED_SHARDS = 8
RECONCILER = "#reconciler"  # "#" is not allowed in the name of a bucket

_REFUSED = "ConditionalCheckFailedException"

_TEXTS = (
    *("version_id", "etag", "checksum", "storage_class", "content_type", "last_modified"),
    *("restore", "restored_until", "replication_status"),
)
_MAPS = ("metadata", "tags")
_WRITTEN = (*_TEXTS, *_MAPS, "size", "modified_shard", "deleted", "expires_at", "event_name", "event_time")


class DynamoTable:
    """The rows of a bucket, and the state of its reconciler in an item of the same table.

    Args:
        dynamodb: A client of DynamoDB.
        table: The name of the table.
        bucket: The name of the bucket.
        tombstone_seconds: How long a tombstone is retained.
        clock: Returns the time in seconds since 1970; tests replace it.
    """

    def __init__(
        self,
        dynamodb: Client,
        table: str,
        bucket: str,
        *,
        tombstone_seconds: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._bucket = bucket
        self._tombstone_seconds = tombstone_seconds
        self._clock = clock

    def read(self, key: str) -> Row | None:
        """Return the current row."""
        answer = self._dynamodb.get_item(TableName=self._table, Key=self._key(key), ConsistentRead=True)
        return _to_row(answer["Item"]) if "Item" in answer else None

    def write_newer(
        self, key: str, seen: StoredObject | None, *, sequencer: str, cause: Cause
    ) -> tuple[bool, Row | None]:
        """Write a row unless it has this sequencer or a later one; return the row afterwards."""
        return self._update(
            key,
            {**self._attributes(key, seen, cause), "sequencer": {"S": sequencer}},
            condition="attribute_not_exists(#sequencer) OR #sequencer < :sequencer",
            names=["sequencer"],
        )

    def write_instead(
        self, key: str, seen: StoredObject | None, *, instead_of: Row | None, cause: Cause
    ) -> bool:
        """Write a row if nothing has written it since it was read; return whether it was written."""
        attributes = self._attributes(key, seen, cause)
        attributes["looked_at"] = {"N": str(int(self._clock()))}
        if instead_of is None:
            return self._update(key, attributes, condition="attribute_not_exists(#revision)")[0]
        read = {":read": {"N": str(instead_of.revision)}}
        return self._update(key, attributes, condition="#revision = :read", values=read)[0]

    def walk(self, *, after: str, prefix: str) -> Iterator[tuple[str, Row]]:
        """Return all rows with later keys, in the order of the UTF-8 of their keys."""
        values = {":bucket": {"S": self._bucket}}
        condition = "#bucket = :bucket"
        if prefix:
            condition += " AND begins_with(#key, :prefix)"
            values[":prefix"] = {"S": prefix}
        asked: dict[str, Any] = {
            "TableName": self._table,
            "KeyConditionExpression": condition,
            "ExpressionAttributeNames": {"#bucket": "bucket", **({"#key": "key"} if prefix else {})},
            "ExpressionAttributeValues": values,
        }
        if after:
            asked["ExclusiveStartKey"] = self._key(after)
        while True:
            page = self._dynamodb.query(**asked)
            for item in page["Items"]:
                yield item["key"]["S"], _to_row(item)
            if not page.get("LastEvaluatedKey"):
                return
            asked["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def remove_expired(self) -> None:
        """Do nothing: the time to live of the table removes tombstones."""

    def load_state(self) -> tuple[str, int]:
        """Return the state that was saved last, and its revision; at first an empty string and 0."""
        answer = self._dynamodb.get_item(TableName=self._table, Key=self._state_key(), ConsistentRead=True)
        item = answer.get("Item")
        return (item["state"]["S"], int(item["revision"]["N"])) if item else ("", 0)

    def save_state(self, state: str, revision: int) -> bool:
        """Save the state if it still has this revision; return whether it was saved."""
        try:
            self._dynamodb.update_item(
                TableName=self._table,
                Key=self._state_key(),
                UpdateExpression="SET #state = :state, #revision = :next",
                ConditionExpression="#revision = :read" if revision else "attribute_not_exists(#revision)",
                ExpressionAttributeNames={"#state": "state", "#revision": "revision"},
                ExpressionAttributeValues={
                    ":state": {"S": state},
                    ":next": {"N": str(revision + 1)},
                    **({":read": {"N": str(revision)}} if revision else {}),
                },
            )
        except ClientError as error:
            if error.response["Error"]["Code"] == _REFUSED:
                return False
            raise
        return True

    def _update(
        self,
        key: str,
        attributes: Item,
        *,
        condition: str,
        names: list[str] | None = None,
        values: Item | None = None,
    ) -> tuple[bool, Row | None]:
        """Write these attributes, remove the others that a write sets, and raise the revision."""
        absent = [name for name in _WRITTEN if name not in attributes]
        changes = "SET #revision = if_not_exists(#revision, :none) + :one"
        changes += "".join(f", #{name} = :{name}" for name in attributes)
        changes += f" REMOVE {', '.join(f'#{name}' for name in absent)}" if absent else ""
        try:
            answer = self._dynamodb.update_item(
                TableName=self._table,
                Key=self._key(key),
                UpdateExpression=changes,
                ConditionExpression=condition,
                ExpressionAttributeNames={
                    f"#{name}": name for name in {*attributes, *absent, *(names or ()), "revision"}
                },
                ExpressionAttributeValues={
                    **{f":{name}": value for name, value in attributes.items()},
                    ":none": {"N": "0"},
                    ":one": {"N": "1"},
                    **(values or {}),
                },
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != _REFUSED:
                raise
            item: Any = error.response.get("Item")  # botocore adds it to the error
            return False, _to_row(item) if item else None
        return True, _to_row(answer["Attributes"])

    def _attributes(self, key: str, seen: StoredObject | None, cause: Cause) -> Item:
        item: Item = {"event_name": {"S": cause.name}, "event_time": {"S": cause.time}}
        if seen is None:
            expires_at = int(self._clock()) + self._tombstone_seconds
            return {**item, "deleted": {"BOOL": True}, "expires_at": {"N": str(expires_at)}}
        shard = zlib.crc32(key.encode()) % MODIFIED_SHARDS
        item |= {
            "deleted": {"BOOL": False},
            "size": {"N": str(seen.size)},
            "modified_shard": {"S": f"{self._bucket}#{shard}"},
        }
        item |= {name: {"S": value} for name in _TEXTS if (value := getattr(seen, name))}
        for name in _MAPS:
            if value := getattr(seen, name):
                item[name] = {"M": {one: {"S": text} for one, text in value.items()}}
        return item

    def _key(self, key: str) -> Item:
        return {"bucket": {"S": self._bucket}, "key": {"S": key}}

    def _state_key(self) -> Item:
        return {"bucket": {"S": RECONCILER}, "key": {"S": self._bucket}}


def _to_row(item: Item) -> Row:
    stored = None
    if not item["deleted"]["BOOL"]:
        maps: dict[str, Any] = {
            name: {one: value["S"] for one, value in item[name]["M"].items()} if name in item else {}
            for name in _MAPS
        }
        texts: dict[str, Any] = {name: item[name]["S"] if name in item else "" for name in _TEXTS}
        stored = StoredObject(size=int(item["size"]["N"]), **texts, **maps)
    return Row(
        object=stored,
        sequencer=item.get("sequencer", {}).get("S", ""),
        revision=int(item["revision"]["N"]),
        looked_at=int(item.get("looked_at", {}).get("N", "0")),
    )
