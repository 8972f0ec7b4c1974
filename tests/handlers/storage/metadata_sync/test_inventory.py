"""An inventory as the reconciler's source: what differs is found, what is wrong with it is said."""

import gzip
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote_plus

import pytest

from tests.handlers.storage.metadata_sync.doubles import reconciler
from tests.handlers.storage.metadata_sync.world import World, record
from tests.handlers.storage.surroundings import REGION

PLACE = "all/photos/daily"
FIELDS = "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass"


@pytest.fixture
def inventories(world: World) -> Iterator[World]:
    """A bucket for inventories, empty."""
    world.s3.create_bucket(Bucket="inventories", CreateBucketConfiguration={"LocationConstraint": REGION})
    yield world
    for one in world.s3.list_objects_v2(Bucket="inventories").get("Contents", []):
        world.s3.delete_object(Bucket="inventories", Key=one["Key"])
    world.s3.delete_bucket(Bucket="inventories")


def publish(
    world: World, *files: list[str], day: str = "2099-01-01", change: Callable[[Any], None] = lambda _: None
) -> None:
    """Write an inventory as S3 does: data files, a manifest, and its checksum at the end."""

    def put(key: str, data: bytes) -> str:
        world.s3.put_object(Bucket="inventories", Key=key, Body=data)
        return hashlib.md5(data).hexdigest()  # noqa: S324

    listed = []
    for number, lines in enumerate(files):
        key = f"{PLACE}/data/{day}-{number}.csv.gz"
        listed.append({"key": key, "MD5checksum": put(key, gzip.compress("".join(lines).encode()))})
    manifest = {
        "fileFormat": "CSV",
        "fileSchema": FIELDS,
        "creationTimestamp": "4070908800000",
        "files": listed,
    }
    change(manifest)
    folder = f"{PLACE}/{day}T01-00Z"
    checksum = put(f"{folder}/manifest.json", json.dumps(manifest).encode())
    put(f"{folder}/manifest.checksum", f"{checksum}\n".encode())


def line(world: World, key: str, **changes: str) -> str:
    """An object as the inventory has it."""
    head = world.s3.head_object(Bucket="photos", Key=key)
    values = {
        "Bucket": "photos",
        "Key": quote_plus(key),
        "Size": str(head["ContentLength"]),
        "LastModifiedDate": head["LastModified"].strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "ETag": head["ETag"].strip('"'),
        "StorageClass": "STANDARD",
    } | changes
    return ",".join(f'"{value}"' for value in values.values()) + "\n"


def worker(world: World) -> Any:
    """A reconciler that reads the inventory."""
    modules, here = world.modules, world.modules.reconciler
    inventory = modules.inventory.Inventory(
        here.s3, "inventories", PLACE, here.target.rows, follows=lambda key: True, prefix=""
    )
    return reconciler(modules, here.source, here.target.rows, comparison=inventory)


def test_what_differs_is_repaired_and_what_is_newer_than_the_inventory_stays(inventories: World) -> None:
    world = inventories
    for key in ("same", "a b+ü", "overwritten", "deleted"):
        world.put(key, b"1")
    lines = [line(world, key) for key in ("overwritten", "same", "a b+ü", "deleted")]
    for key in ("same", "overwritten", "deleted"):
        world.invoke(record(key))
    world.put("overwritten", b"22")  # after the inventory, and its event is lost
    world.s3.delete_object(Bucket="photos", Key="deleted")  # likewise
    publish(world, lines[:2], lines[2:])
    world.put("new", b"1")
    world.invoke(record("new"))
    tick = worker(world).tick(seconds=60)
    assert tick.run.finished_at
    found = {name: tick.counts[name] for name in ("missing", "outdated", "superfluous", "repaired", "failed")}
    assert found == {"missing": 1, "outdated": 1, "superfluous": 1, "repaired": 3, "failed": 0}
    assert (world.row("overwritten") or {})["size"] == {"N": "2"}
    assert (world.row("deleted") or {})["deleted"] == {"BOOL": True}
    assert world.row("a b+ü")
    assert (world.row("new") or {})["deleted"] == {"BOOL": False}


def test_it_is_continued_at_the_line_and_in_the_inventory_where_it_was(
    inventories: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = inventories
    keys = [f"k{number}" for number in range(5)]
    for key in keys:
        world.put(key, b"1")
    lines = [line(world, key) for key in keys]
    publish(world, lines[:3], lines[3:])
    monkeypatch.setattr(world.modules.reconcile, "PIECE", 2)
    here = worker(world)
    looked: list[str] = []
    look = world.modules.reconciler.source.look

    def look_and_tell(key: str) -> Any:
        looked.append(key)
        return look(key)

    monkeypatch.setattr(world.modules.reconciler.source, "look", look_and_tell)
    here._clock = itertools.count(1000, 10).__next__
    for number in range(20):
        tick = here.tick(seconds=15)
        if number == 0:
            publish(world, [], day="2099-01-02")  # a newer one is for the next run
        if tick.run.finished_at:
            break
    assert sorted(looked[:5]) == keys
    assert all(world.row(key) for key in keys)


def spoil_format(manifest: Any) -> None:
    manifest["fileFormat"] = "ORC"


def spoil_fields(manifest: Any) -> None:
    manifest["fileSchema"] = "Bucket, Key, Size"


def spoil_checksum(manifest: Any) -> None:
    manifest["files"][0]["MD5checksum"] = "0" * 32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (spoil_format, "the format is ORC: configure the inventory as CSV"),
        (spoil_fields, "add to the inventory's fields: ETag, LastModifiedDate, StorageClass"),
        (spoil_checksum, "not what its manifest says"),
    ],
)
def test_an_inventory_that_is_of_no_use_says_what_to_do(
    inventories: World, change: Callable[[Any], None], message: str
) -> None:
    publish(inventories, [], change=change)
    here = worker(inventories)
    for _ in range(2):  # and the lease is not in the way of the next attempt
        with pytest.raises(inventories.modules.inventory.InventoryUnusable, match=message):
            here.tick(seconds=60)


def test_until_the_first_inventory_is_there_it_waits_and_then_begins(inventories: World) -> None:
    here = worker(inventories)
    waiting = here.tick(seconds=60)
    assert waiting.status == "waiting"
    assert "no inventory below s3://inventories/all/photos/daily/ yet" in waiting.reason
    publish(inventories, [])
    assert here.tick(seconds=60).run.finished_at


def test_a_run_whose_inventory_was_deleted_is_given_up_for_the_newest(
    inventories: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = inventories
    for key in ("a", "b"):
        world.put(key, b"1")
    publish(world, [line(world, "a"), line(world, "b")])
    monkeypatch.setattr(world.modules.reconcile, "PIECE", 1)
    here = worker(world)
    here._clock = itertools.count(1000, 10).__next__
    assert not here.tick(seconds=15).run.finished_at
    world.s3.delete_object(Bucket="inventories", Key=f"{PLACE}/2099-01-01T01-00Z/manifest.json")
    with pytest.raises(world.modules.inventory.InventoryUnusable, match="the next tick takes the newest"):
        here.tick(seconds=15)
    publish(world, [line(world, "a"), line(world, "b")], day="2099-01-02")
    while not here.tick(seconds=15).run.finished_at:
        pass
    assert world.row("a")
    assert world.row("b")


def test_an_inventory_that_is_still_being_written_is_passed_over(inventories: World) -> None:
    publish(inventories, [])
    publish(inventories, [], day="2099-01-02")
    key = f"{PLACE}/2099-01-02T01-00Z/manifest.checksum"
    inventories.s3.delete_object(Bucket="inventories", Key=key)
    assert "2099-01-01" in worker(inventories)._comparison._newest()
