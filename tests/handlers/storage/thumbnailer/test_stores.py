"""The table: which writes its conditions allow."""

from typing import Any

import pytest

from storage.thumbnailer.stores import MetadataTable, Row
from tests.handlers.storage.thumbnailer.world import World


@pytest.fixture
def table(world: World) -> MetadataTable:
    return MetadataTable(world.function.dynamodb, "metadata")


def row(**changes: Any) -> Row:
    some = Row(
        source_key="cat.png",
        version_id="v1",
        etag="e1",
        sequencer="0A",
        width=200,
        height=150,
        format="png",
        size_bytes=1000,
        thumbnails=[{"size": 64, "key": "cat.png/64.webp", "width": 64, "height": 48, "bytes": 500}],
        source_last_modified="2026-01-01T00:00:00+00:00",
        made_at="2026-01-01T00:00:01+00:00",
    )
    return some._replace(**changes)


def test_a_row_comes_back_as_it_was_written(table: MetadataTable) -> None:
    assert table.get("cat.png") is None
    assert table.put(row(), instead_of=None)
    assert table.get("cat.png") == row()


def test_a_row_is_not_written_where_there_is_one_by_now(table: MetadataTable) -> None:
    table.put(row(), instead_of=None)
    assert not table.put(row(etag="e2"), instead_of=None)
    assert table.get("cat.png") == row()


# Whatever another invocation changes, one of these changes with it.
@pytest.mark.parametrize("field", ["version_id", "etag", "sequencer", "made_at"])
def test_a_row_that_another_invocation_changed_is_neither_written_nor_deleted(
    table: MetadataTable,
    field: str,
) -> None:
    changed = row(**{field: "changed"})
    table.put(changed, instead_of=None)
    assert not table.put(row(width=1), instead_of=row())
    assert not table.delete(row())
    assert table.get("cat.png") == changed
    assert table.put(row(width=1), instead_of=changed)
    assert table.delete(row(width=1))
    assert table.get("cat.png") is None


def test_a_row_that_is_gone_by_now_is_neither_written_nor_deleted(table: MetadataTable) -> None:
    assert not table.put(row(), instead_of=row())
    assert not table.delete(row())
    assert table.get("cat.png") is None


def test_rows_are_read_consistently() -> None:
    """DynamoDB may return an older row without ConsistentRead; moto never does."""
    asked: list[dict[str, object]] = []

    class Client:
        def get_item(self, **arguments: object) -> dict[str, object]:
            asked.append(arguments)
            return {}

    MetadataTable(Client(), "metadata").get("cat.png")
    assert [one["ConsistentRead"] for one in asked] == [True]
