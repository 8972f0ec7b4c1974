"""Notes in DynamoDB, compared with notes in memory."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, EndpointConnectionError, ReadTimeoutError
from moto import mock_aws

from notes.messages import HttpError
from notes.note import Note
from notes.table import NotesTable
from tests.handlers.notes.memory import NotesInMemory
from tests.handlers.web.alb_function.conftest import ENVIRONMENT


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    """A table like that of the stack."""
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        client: Any = botocore.session.get_session().create_client("dynamodb")
        client.create_table(
            TableName="notes",
            BillingMode="PAY_PER_REQUEST",
            KeySchema=[{"AttributeName": "name", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"} for name in ("name", "kind", "updated_at")
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-time",
                    "KeySchema": [
                        {"AttributeName": "kind", "KeyType": "HASH"},
                        {"AttributeName": "updated_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {
                        "ProjectionType": "INCLUDE",
                        "NonKeyAttributes": ["content_type", "size_bytes", "tags"],
                    },
                }
            ],
        )
        yield client


@pytest.fixture(params=["DynamoDB", "memory"])
def notes(dynamodb: Any, request: pytest.FixtureRequest) -> NotesTable:
    """An empty store."""
    if request.param == "memory":
        return NotesInMemory()
    for item in dynamodb.scan(TableName="notes")["Items"]:
        dynamodb.delete_item(TableName="notes", Key={"name": item["name"]})
    return NotesTable(dynamodb, "notes", "by-time")


def note(name: str, *tags: str, content: bytes = b"x", at: int = 0) -> Note:
    """A note."""
    return Note.make(name, content, "text/plain", tags, now=f"2026-01-01T00:00:00.{at:06d}Z")


@pytest.mark.parametrize("content", [b"x", b"x" * 10_000, bytes(range(256)), b""])
def test_a_note_is_read_as_it_was_written(notes: NotesTable, content: bytes) -> None:
    written = note("a/☕", "t", content=content)
    notes.put(written)
    read = notes.get("a/☕")
    assert read == written
    assert read is not None
    assert read.content == content
    assert notes.get("b") is None


def test_writes_return_whether_the_note_existed(notes: NotesTable) -> None:
    assert notes.put(note("a"))
    assert not notes.put(note("a", content=b"y"))
    assert notes.delete("a")
    assert not notes.delete("a")


def test_a_write_that_the_sdk_repeats_is_still_a_new_note(notes: NotesTable) -> None:
    assert notes.put(note("a"))
    assert notes.put(note("a"))
    assert not notes.put(note("a", at=1))


def test_lists_are_by_time_limited_and_filtered_by_tags(notes: NotesTable) -> None:
    for number in range(7):
        tags = ["even" if number % 2 == 0 else "odd", *(["six"] if number == 6 else [])]
        notes.put(note(str(number), *tags, at=number))

    def names(*tags: str, limit: int, newest_first: bool = False) -> list[str]:
        return [found.name for found in notes.list(tags, limit=limit, newest_first=newest_first)]

    assert names(limit=3) == ["0", "1", "2"]
    assert names(limit=3, newest_first=True) == ["6", "5", "4"]
    assert names("even", limit=3) == ["0", "2", "4"]  # as many as asked for, whatever is between them
    assert names("even", "six", limit=100) == ["6"]
    assert names("other", limit=100) == []


def failing(error: Exception) -> NotesTable:
    """A table whose every call fails."""

    def fail(**_: object) -> None:
        raise error

    return NotesTable(SimpleNamespace(get_item=fail), "notes", "by-time")


def refusal(code: str) -> ClientError:
    """An error of DynamoDB."""
    return ClientError({"Error": {"Code": code, "Message": code}}, "GetItem")


@pytest.mark.parametrize(
    "error",
    [
        refusal("ThrottlingException"),
        ReadTimeoutError(endpoint_url="https://dynamodb"),
        ConnectTimeoutError(endpoint_url="https://dynamodb"),
        EndpointConnectionError(endpoint_url="https://dynamodb"),
    ],
)
def test_a_table_that_is_too_busy_or_does_not_answer_is_a_503(error: Exception) -> None:
    with pytest.raises(HttpError) as caught:
        failing(error).get("a")
    assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "1"})


def test_other_errors_of_the_table_are_passed_on() -> None:
    with pytest.raises(ClientError, match="AccessDenied"):
        failing(refusal("AccessDeniedException")).get("a")


def test_notes_of_other_owners_do_not_exist(dynamodb: Any) -> None:
    ann, ben = (NotesTable(dynamodb, "notes", "by-time", owner) for owner in ("ann", "ben"))
    note = Note.make("milk", b"x", "text/plain", ["a"], now="2026-01-01")
    assert ann.put(note)
    assert ben.get("milk") is None
    assert not ben.delete("milk")
    assert ben.list([], limit=5, newest_first=True) == []
    assert ann.get("milk") == note
    assert [one.name for one in ann.list(["a"], limit=5, newest_first=True)] == ["milk"]
    assert ann.delete("milk")
