"""The reconciler finds and repairs what differs, in pieces, in one invocation at a time."""

import json
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from storage.metadata_sync.reconcile import LeaseLost
from tests.handlers.storage.metadata_sync.doubles import NOW, SETTINGS, Bucket, Rows, reconciler
from tests.handlers.storage.metadata_sync.world import World, record


def counts(**found: int) -> dict[str, int]:
    """All counts; those that are not named are 0."""
    names = ("checked", "missing", "outdated", "superfluous", "repaired", "failed")
    return {**dict.fromkeys(names, 0), **found}


# --- In moto


def test_a_bucket_that_has_objects_already_is_filled_by_the_first_tick(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        world.put(f"{number}.png")
    answer = world.reconcile()
    assert (answer["status"], answer["finished"]) == ("worked", True)
    assert answer["counts"] == counts(checked=5, missing=5, repaired=5)
    assert all(world.row(f"{number}.png") for number in range(5))
    [metrics] = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    assert (metrics["RowsMissing"], metrics["RowsRepaired"], metrics["RowsFailed"]) == ([5.0], [5.0], [0.0])
    assert world.reconcile()["status"] == "idle"


def test_what_events_missed_is_repaired_and_nothing_else_is_written(world: World) -> None:
    for key in ("same", "overwritten", "deleted", "written"):
        if key != "written":
            world.put(key, b"1")
            world.invoke(record(key))
    world.put("overwritten", b"22")
    world.put("written", b"1")
    world.s3.delete_object(Bucket="photos", Key="deleted")
    before = world.row("same")
    answer = world.reconcile({"start": "now"})
    assert answer["counts"] == counts(checked=4, missing=1, outdated=1, superfluous=1, repaired=3)
    assert world.row("same") == before
    assert (world.row("overwritten") or {})["size"] == {"N": "2"}
    assert (world.row("deleted") or {})["deleted"] == {"BOOL": True}
    assert world.row("written")
    assert world.reconcile({"start": "now"})["counts"] == counts(checked=4)


def test_one_object_that_cannot_be_repaired_does_not_stop_the_others(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world.put("bad")
    world.put("good")
    look = world.reconciler.source.look

    def deny_one(key: str) -> Any:
        if key == "bad":
            raise PermissionError("denied")
        return look(key)

    monkeypatch.setattr(world.reconciler.source, "look", deny_one)
    answer = world.reconcile()
    assert answer["counts"] == counts(checked=2, missing=1, repaired=1, failed=1)
    [said] = [vars(one) for one in caplog.records if one.message == "cannot be repaired"]
    assert (said["key"], said["error_type"], said["reason"]) == ("bad", "PermissionError", "denied")


# --- Pieces, leases and time


class Clock:
    """Advances by itself each time it is read, so that time runs out."""

    def __init__(self, step: float = 0.0) -> None:
        self.now = NOW
        self.step = step

    def __call__(self) -> float:
        """Return the time."""
        self.now += self.step
        return self.now


@pytest.fixture
def bucket() -> Bucket:
    made = Bucket(False, Random(1))
    for number in range(10):
        made.put(f"k{number}")
    return made


@pytest.fixture
def rows() -> Rows:
    return Rows()


def test_a_run_that_does_not_fit_into_one_invocation_continues_in_the_next(
    bucket: Bucket, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.metadata_sync.reconcile.PIECE", 3)
    clock = Clock()
    worker = reconciler(bucket, rows, clock=clock)
    seen = []
    for _ in range(9):
        clock.step = 10.0  # time is up after one piece
        tick = worker.tick(seconds=15)
        clock.step = 0.0
        seen.append((tick.status, tick.run.cursor, tick.counts["repaired"]))
        if tick.run.finished_at:
            break
    assert seen == [("worked", "k2", 3), ("worked", "k5", 3), ("worked", "k8", 3), ("worked", "k9", 1)]
    assert tick.run.counts == counts(checked=10, missing=10, repaired=10)


def test_while_one_invocation_works_another_does_nothing(bucket: Bucket, rows: Rows) -> None:
    others: list[str] = []

    def during(_: str) -> None:
        bucket.before_step = lambda _: None
        others.append(reconciler(bucket, rows).tick(seconds=60).status)

    bucket.before_step = during
    assert reconciler(bucket, rows).tick(seconds=60, start=True).counts["repaired"] == 10
    assert others == ["busy"]


def test_of_two_invocations_that_begin_at_once_one_ends(bucket: Bucket, rows: Rows) -> None:
    one, other = (reconciler(bucket, rows) for _ in range(2))
    load = rows.load_state

    def load_and_lose() -> tuple[str, int]:
        loaded = load()
        rows.load_state = load  # type: ignore[method-assign]
        other.tick(seconds=60)
        return loaded

    rows.load_state = load_and_lose  # type: ignore[method-assign]
    with pytest.raises(LeaseLost, match="another invocation"):
        one.tick(seconds=60)


def test_an_invocation_that_was_overtaken_ends_and_leaves_the_lease_to_the_other(
    bucket: Bucket, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.metadata_sync.reconcile.PIECE", 3)

    def overtake(_: str) -> None:
        bucket.before_step = lambda _: None
        state, revision = rows.load_state()
        assert rows.save_state(json.dumps({**json.loads(state), "cursor": "theirs"}), revision)

    bucket.before_step = overtake
    with pytest.raises(LeaseLost):
        reconciler(bucket, rows).tick(seconds=60)
    theirs = json.loads(rows.state)
    assert theirs["cursor"] == "theirs"
    assert theirs["lease_until"] > NOW


def test_a_tick_that_failed_leaves_no_lease_behind(bucket: Bucket, rows: Rows) -> None:
    worker = reconciler(bucket, rows)
    walk = rows.walk

    def fail(**_: str) -> Any:
        rows.walk = walk  # type: ignore[method-assign]
        raise ConnectionError("no connection")

    rows.walk = fail  # type: ignore[method-assign]
    with pytest.raises(ConnectionError, match="no connection"):
        worker.tick(seconds=60)
    assert worker.tick(seconds=60).counts["repaired"] == 10


def test_the_lease_of_an_invocation_that_died_expires(bucket: Bucket, rows: Rows) -> None:
    clock = Clock()

    def die(_: str) -> None:
        raise KeyboardInterrupt

    bucket.before_step = die
    worker = reconciler(bucket, rows, clock=clock)
    with pytest.raises(KeyboardInterrupt):
        worker.tick(seconds=60)
    bucket.before_step = lambda _: None
    assert worker.tick(seconds=60).status == "busy"
    clock.now += 122
    assert worker.tick(seconds=60).counts["repaired"] == 10


def test_a_run_begins_when_it_is_due(bucket: Bucket, rows: Rows) -> None:
    clock = Clock()
    worker = reconciler(bucket, rows, clock=clock, every=100)
    statuses = []
    for _ in range(5):
        statuses.append(worker.tick(seconds=10).status)
        clock.now += 50
    assert statuses == ["worked", "idle", "worked", "idle", "worked"]


def test_the_reconciler_applies_the_filters(bucket: Bucket, rows: Rows) -> None:
    bucket.put("other3")
    worker = reconciler(bucket, rows, settings=SETTINGS._replace(prefix="k", suffixes=("3",)))
    assert worker.tick(seconds=10).counts["checked"] == 1
    assert set(rows.rows) == {"k3"}


@pytest.mark.parametrize(
    "change",
    [
        {"size": 7},
        {"etag": "other"},
        {"last_modified": "2027-01-01T00:00:00Z"},
        {"storage_class": "GLACIER"},
        {"restore": "ongoing"},
        {"restored_until": "2027-01-01T00:00:00Z"},
    ],
)
def test_everything_that_a_listing_shows_is_compared(
    bucket: Bucket, rows: Rows, change: dict[str, Any]
) -> None:
    worker = reconciler(bucket, rows)
    worker.tick(seconds=10)
    current = bucket.current("k5")
    assert current
    bucket.versions["k5"] = [replace(current, **change)]
    assert worker.tick(seconds=10, start=True).counts["outdated"] == 1
    assert rows.rows["k5"].object == bucket.current("k5")
