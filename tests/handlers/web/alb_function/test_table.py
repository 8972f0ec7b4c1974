"""Notes are kept in DynamoDB as in memory."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.handlers.loading import LoadedHandler
from tests.handlers.web.alb_function.conftest import ENVIRONMENT
from tests.handlers.web.alb_function.memory import NotesInMemory


@pytest.fixture(scope="module")
def dynamodb() -> Iterator[Any]:
    """A table as the construct makes it."""
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
                        "NonKeyAttributes": ["content_type", "etag", "size_bytes", "tags"],
                    },
                }
            ],
        )
        yield client


@pytest.fixture(params=["DynamoDB", "memory"])
def kept(loaded: LoadedHandler, dynamodb: Any, request: pytest.FixtureRequest) -> Any:
    """Where notes are kept: empty."""
    if request.param == "memory":
        return NotesInMemory(loaded)
    for item in dynamodb.scan(TableName="notes")["Items"]:
        dynamodb.delete_item(TableName="notes", Key={"name": item["name"]})
    return loaded.table.NotesTable(dynamodb, "notes", "by-time")


def note(loaded: LoadedHandler, name: str, *tags: str, content: bytes = b"x", at: int = 0) -> Any:
    """A note."""
    time = f"2026-01-01T00:00:00.{at:06d}Z"
    return loaded.notes.make_note(name, content, "text/plain", tags, now=time)


def test_what_is_written_is_read(loaded: LoadedHandler, kept: Any) -> None:
    nothing = loaded.notes.Expected()
    for content in (b"x", b"x" * 10_000, bytes(range(256)), b""):
        written = note(loaded, "a/☕", "t", content=content)
        kept.put(written, expected=nothing)
        assert kept.get("a/☕") == written
        assert kept.get("a/☕").content == content
    assert kept.get("b") is None


def test_a_write_tells_whether_the_note_is_new(loaded: LoadedHandler, kept: Any) -> None:
    nothing = loaded.notes.Expected()
    assert kept.put(note(loaded, "a"), expected=nothing)
    assert not kept.put(note(loaded, "a", content=b"y"), expected=nothing)
    assert kept.delete("a", expected=nothing)
    assert not kept.delete("a", expected=nothing)


def test_conditions_are_kept(loaded: LoadedHandler, kept: Any) -> None:
    expected, refused = loaded.notes.Expected, loaded.errors.PreconditionFailed
    first, second = note(loaded, "a"), note(loaded, "a", content=b"y")
    for wrong in (expected(frozenset({"*"})), expected(frozenset({first.summary.etag}))):
        with pytest.raises(refused):
            kept.put(first, expected=wrong)
    assert kept.put(first, expected=expected(absent=True))
    for wrong in (expected(absent=True), expected(frozenset({second.summary.etag, '"x"'}))):
        with pytest.raises(refused):
            kept.put(second, expected=wrong)
        with pytest.raises(refused):
            kept.delete("a", expected=wrong)
    assert not kept.put(second, expected=expected(frozenset({first.summary.etag, '"x"'})))
    assert kept.delete("a", expected=expected(frozenset({"*"})))


def test_lists_are_by_time_page_by_page_and_by_tags(loaded: LoadedHandler, kept: Any) -> None:
    for number in range(7):
        tags = ["even" if number % 2 == 0 else "odd", *(["six"] if number == 6 else [])]
        kept.put(note(loaded, str(number), *tags, at=number), expected=loaded.notes.Expected())

    def names(*tags: str, limit: int, newest_first: bool = False) -> list[list[str]]:
        pages, after = [], None
        while True:
            page = kept.page(tags=tags, limit=limit, newest_first=newest_first, after=after)
            pages.append([summary.name for summary in page.notes])
            after = page.next
            if after is None:
                return [page for page in pages if page]

    assert names(limit=3) == [["0", "1", "2"], ["3", "4", "5"], ["6"]]
    assert names(limit=3, newest_first=True) == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    assert names("even", limit=2) == [["0", "2"], ["4", "6"]]  # full pages, whatever lies between
    assert names("even", "six", limit=100) == [["6"]]
    assert names("other", limit=100) == []


def failing(code: str) -> Any:
    """A client whose every call fails."""

    def fail(**_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": code}}, "GetItem")

    return SimpleNamespace(get_item=fail)


def test_throttling_is_told_as_that_and_other_errors_are_not_hidden(loaded: LoadedHandler) -> None:
    with pytest.raises(loaded.errors.ServiceUnavailable) as caught:
        loaded.table.NotesTable(failing("ThrottlingException"), "notes", "by-time").get("a")
    assert caught.value.headers == {"Retry-After": "1"}
    with pytest.raises(ClientError, match="AccessDenied"):
        loaded.table.NotesTable(failing("AccessDeniedException"), "notes", "by-time").get("a")


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "TABLE_NAME is missing"),
        ({"TABLE_NAME": "notes"}, "INDEX_NAME is missing"),
        (
            {"TABLE_NAME": "n", "INDEX_NAME": "i", "CORS_ORIGINS": "a.example"},
            "CORS_ORIGINS names 'a.example'",
        ),
    ],
)
def test_settings_that_are_missing_or_wrong_are_named(
    loaded: LoadedHandler, environment: dict[str, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        loaded.settings.Settings.from_environment(environment)
