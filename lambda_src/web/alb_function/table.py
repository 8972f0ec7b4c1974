"""Notes in a DynamoDB table: partition key ``name``, and an index by time that holds all but the content."""

from dataclasses import dataclass
from typing import Any, TypeAlias

import botocore.session
from botocore.config import Config
from botocore.exceptions import ClientError
from errors import PreconditionFailed, ServiceUnavailable
from notes import Expected, Note, Page, Position, Summary

Client: TypeAlias = Any  # botocore makes the methods of a client when it makes the client
Item: TypeAlias = dict[str, dict[str, Any]]

# All notes are in one partition of the index: 1,000 writes a second, which is plenty for notes. More would
# take several values of this attribute, and as many queries for a list.
# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html
_ALL = {"S": "note"}

# A filter is applied after reading. What it leaves out is read all the same, up to so many pages a request.
_MAX_PAGES = 5

# The client waits for the answer: better a quick 503 than a slow one. Three attempts fit into the timeout.
_CONFIG = Config(
    connect_timeout=1,
    read_timeout=2,
    retries={"mode": "standard", "total_max_attempts": 3},
    tcp_keepalive=True,
    max_pool_connections=1,  # a function handles one request at a time
)

_PASSING = frozenset(
    {
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "RequestLimitExceeded",
        "ThrottledException",
    }
)


def make_client() -> Client:
    """Make the client, for the Region and with the credentials of the function."""
    return botocore.session.get_session().create_client("dynamodb", config=_CONFIG)


@dataclass(frozen=True)
class NotesTable:
    """The table.

    Args:
        client: A DynamoDB client.
        table: Its name.
        index: The name of its index by time.
    """

    client: Client
    table: str
    index: str

    def get(self, name: str) -> Note | None:
        """Return a note as it is now."""
        answer = self._call("get_item", Key={"name": {"S": name}}, ConsistentRead=True)
        return _to_note(answer["Item"]) if "Item" in answer else None

    def put(self, note: Note, *, expected: Expected) -> bool:
        """Write a note; return whether it is a new one.

        Raises:
            PreconditionFailed: What is there is not what was expected.
        """
        answer = self._call("put_item", Item=_to_item(note), ReturnValues="ALL_OLD", **_condition(expected))
        return "Attributes" not in answer

    def delete(self, name: str, *, expected: Expected) -> bool:
        """Delete a note; return whether there was one.

        Raises:
            PreconditionFailed: What is there is not what was expected.
        """
        answer = self._call(
            "delete_item", Key={"name": {"S": name}}, ReturnValues="ALL_OLD", **_condition(expected)
        )
        return "Attributes" in answer

    def page(self, *, tags: tuple[str, ...], limit: int, newest_first: bool, after: Position | None) -> Page:
        """Return notes that have all of these tags, by time. The index lags behind the table by a moment."""
        found: list[Summary] = []
        names = {f":t{index}": {"S": tag} for index, tag in enumerate(tags)}
        filters = (
            {"FilterExpression": " AND ".join(f"contains(tags, {name})" for name in names)} if names else {}
        )
        for _ in range(_MAX_PAGES):
            start = {"ExclusiveStartKey": _start(after)} if after else {}
            answer = self._call(
                "query",
                IndexName=self.index,
                KeyConditionExpression="kind = :all",
                ExpressionAttributeValues={":all": _ALL, **names},
                ScanIndexForward=not newest_first,
                Limit=limit - len(found),
                **filters,
                **start,
            )
            found += map(_to_summary, answer["Items"])
            last = answer.get("LastEvaluatedKey")
            after = (last["updated_at"]["S"], last["name"]["S"]) if last else None
            if after is None or len(found) == limit:
                break
        return Page(tuple(found), after)

    def _call(self, operation: str, **arguments: object) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = getattr(self.client, operation)(TableName=self.table, **arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code == "ConditionalCheckFailedException":
                raise PreconditionFailed("the note is not what the request expects; read it again") from None
            if code in _PASSING:
                raise ServiceUnavailable("too much at once; try again", {"Retry-After": "1"}) from error
            raise
        return answer


def _condition(expected: Expected) -> dict[str, Any]:
    if expected.absent:
        return {
            "ConditionExpression": "attribute_not_exists(#name)",
            "ExpressionAttributeNames": {"#name": "name"},
        }
    if "*" in expected.etags:
        return {"ConditionExpression": "attribute_exists(etag)"}
    if expected.etags:
        values = {f":e{index}": {"S": etag} for index, etag in enumerate(sorted(expected.etags))}
        return {"ConditionExpression": f"etag IN ({', '.join(values)})", "ExpressionAttributeValues": values}
    return {}


def _start(after: Position) -> Item:
    updated_at, name = after
    return {"name": {"S": name}, "kind": _ALL, "updated_at": {"S": updated_at}}


def _to_item(note: Note) -> Item:
    summary = note.summary
    return {
        "name": {"S": summary.name},
        "kind": _ALL,
        "updated_at": {"S": summary.updated_at},
        "content_type": {"S": summary.content_type},
        "tags": {"L": [{"S": tag} for tag in summary.tags]},
        "size_bytes": {"N": str(summary.size_bytes)},
        "etag": {"S": summary.etag},
        "content": {"B": note.stored},
        "gzipped": {"BOOL": note.gzipped},
    }


def _to_note(item: Item) -> Note:
    return Note(_to_summary(item), bytes(item["content"]["B"]), item["gzipped"]["BOOL"])


def _to_summary(item: Item) -> Summary:
    return Summary(
        name=item["name"]["S"],
        content_type=item["content_type"]["S"],
        tags=tuple(tag["S"] for tag in item["tags"]["L"]),
        size_bytes=int(item["size_bytes"]["N"]),
        etag=item["etag"]["S"],
        updated_at=item["updated_at"]["S"],
    )
