"""The table behind the few calls that the work makes: what the conditions of its writes let through."""

from typing import Any

import pytest

from tests.handlers.storage.thumbnailer.world import World


@pytest.fixture
def table(world: World) -> Any:
    return world.modules.aws.MetadataTable(world.modules.handler.dynamodb, "metadata")


def row(world: World, **changes: object) -> Any:
    stores = world.modules.stores
    some = stores.Row(
        source_key="cat.png",
        version_id="v1",
        etag="e1",
        sequencer="0A",
        width=200,
        height=150,
        format="png",
        size_bytes=1000,
        thumbnails=(stores.StoredThumbnail(64, "cat.png/64.webp", 64, 48, 500),),
        source_last_modified="2026-01-01T00:00:00+00:00",
        made_at="2026-01-01T00:00:01+00:00",
    )
    return some._replace(**changes)


def test_a_row_comes_back_as_it_was_written(world: World, table: Any) -> None:
    assert table.get("cat.png") is None
    assert table.put(row(world), instead_of=None)
    assert table.get("cat.png") == row(world)


def test_a_row_is_not_written_where_there_is_one_by_now(world: World, table: Any) -> None:
    table.put(row(world), instead_of=None)
    assert not table.put(row(world, etag="e2"), instead_of=None)
    assert table.get("cat.png") == row(world)


# Whatever another invocation changes, one of these is another.
@pytest.mark.parametrize("field", ["version_id", "etag", "sequencer", "made_at"])
def test_a_row_that_somebody_else_changed_is_neither_written_nor_deleted(
    world: World,
    table: Any,
    field: str,
) -> None:
    changed = row(world, **{field: "changed"})
    table.put(changed, instead_of=None)
    assert not table.put(row(world, width=1), instead_of=row(world))
    assert not table.delete(row(world))
    assert table.get("cat.png") == changed
    assert table.put(row(world, width=1), instead_of=changed)
    assert table.delete(row(world, width=1))
    assert table.get("cat.png") is None


def test_a_row_that_is_gone_by_now_is_neither_written_nor_deleted(world: World, table: Any) -> None:
    assert not table.put(row(world), instead_of=row(world))
    assert not table.delete(row(world))
    assert table.get("cat.png") is None


def test_rows_are_read_as_they_are_now(world: World) -> None:
    """DynamoDB may answer with an older row unless it is asked not to, and moto never does."""
    asked: list[dict[str, object]] = []

    class Client:
        def get_item(self, **arguments: object) -> dict[str, object]:
            asked.append(arguments)
            return {}

    world.modules.aws.MetadataTable(Client(), "metadata").get("cat.png")
    assert [one["ConsistentRead"] for one in asked] == [True]
