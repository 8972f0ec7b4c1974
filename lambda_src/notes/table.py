"""Notes in a DynamoDB table: partition key ``name``, and an index by time that omits the contents.

Where each note has an owner, the owner is part of the key, and has a partition of the index.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection

from shared import environment
from shared.clients import Client, make_quick_client

from .messages import HttpError
from .note import Note

Item: TypeAlias = dict[str, dict[str, Any]]

# Without owners, all notes are in one partition of the index, which takes 1,000 writes a second. More need
# several values of this attribute, and as many queries for a list.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
_ALL = "note"

_THROTTLED = ("ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException")


@dataclass(frozen=True)
class NotesTable:
    """The table.

    Args:
        client: A DynamoDB client.
        table: The name of the table.
        index: The name of its index by time.
        owner: Whose notes they are: notes of other owners do not exist here. Default: all notes of the table
            belong together.
        consistent: Whether a note is read after all writes that have ended. DAX caches only other reads.
    """

    client: Client
    table: str
    index: str
    owner: str = ""
    consistent: bool = True

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> "NotesTable":
        """The table that the variables ``TABLE_NAME`` and ``INDEX_NAME`` name.

        Raises:
            ValueError: One is missing or not a name.
        """
        # A client waits: better a quick error than a slow response.
        return cls(
            make_quick_client("dynamodb"),
            environment.read(variables, "TABLE_NAME", environment.name),
            environment.read(variables, "INDEX_NAME", environment.name),
        )

    def get(self, name: str) -> Note | None:
        """Return a note, or ``None`` if there is none of this name."""
        item = self._call("get_item", Key=self._key(name), ConsistentRead=self.consistent).get("Item")
        return self._note(item) if item else None

    def put(self, note: Note) -> bool:
        """Write a note, and return whether its name is new.

        The SDK repeats a request whose response was late; then the note that was replaced is this one.
        """
        item = self._item(note)
        replaced = self._call("put_item", Item=item, ReturnValues="ALL_OLD").get("Attributes")
        return replaced in (None, item)

    def delete(self, name: str) -> bool:
        """Delete a note, and return whether it existed."""
        return "Attributes" in self._call("delete_item", Key=self._key(name), ReturnValues="ALL_OLD")

    def list(self, tags: Sequence[str], *, limit: int, newest_first: bool) -> Sequence[Note]:
        """Return the first notes, by time, that have all of these tags. The index lags slightly behind."""
        values = {f":tag{number}": {"S": tag} for number, tag in enumerate(tags)}
        query: dict[str, Any] = {
            "IndexName": self.index,
            "KeyConditionExpression": "kind = :all",
            "ExpressionAttributeValues": {":all": self._kind, **values},
            "ScanIndexForward": not newest_first,
        }
        if values:
            query["FilterExpression"] = " AND ".join(f"contains(tags, {value})" for value in values)
        found: list[Note] = []
        while True:
            # The limit applies before the filter, so a page may hold fewer notes than it, or none.
            page = self._call("query", Limit=limit, **query)
            found += map(self._note, page["Items"])
            if len(found) >= limit or "LastEvaluatedKey" not in page:
                return found[:limit]
            query["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def _call(self, operation: str, **arguments: object) -> dict[str, Any]:
        try:
            result: dict[str, Any] = getattr(self.client, operation)(TableName=self.table, **arguments)
        except (ClientError, HTTPClientError, NoConnection) as error:
            # All but a ClientError are calls without an answer, after the SDK has repeated them.
            if isinstance(error, ClientError) and error.response["Error"]["Code"] not in _THROTTLED:
                raise
            detail = "too many requests; try again"
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "1"}) from error
        return result

    @property
    def _kind(self) -> dict[str, str]:
        return {"S": self.owner or _ALL}

    def _key(self, name: str) -> Item:
        return {"name": {"S": f"{self.owner}/{name}" if self.owner else name}}

    def _item(self, note: Note) -> Item:
        return {
            **self._key(note.name),
            "kind": self._kind,
            "updated_at": {"S": note.updated_at},
            "content_type": {"S": note.content_type},
            "tags": {"L": [{"S": tag} for tag in note.tags]},
            "size_bytes": {"N": str(note.size_bytes)},
            "content": {"B": note.zipped},
        }

    def _note(self, item: Item) -> Note:
        """Read an item of the table, or of the index, which has no content."""
        name = item["name"]["S"]
        return Note(
            name=name.removeprefix(f"{self.owner}/") if self.owner else name,
            content_type=item["content_type"]["S"],
            tags=tuple(tag["S"] for tag in item["tags"]["L"]),
            size_bytes=int(item["size_bytes"]["N"]),
            updated_at=item["updated_at"]["S"],
            zipped=bytes(item["content"]["B"]) if "content" in item else b"",
        )
