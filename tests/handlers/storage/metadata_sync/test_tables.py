"""Three tables, one contract: DynamoDB, PostgreSQL, and the one in memory that the tests of races use."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.database import Database
from shared.s3_events import order_key
from storage.metadata_sync.dynamodb import DynamoTable
from storage.metadata_sync.migration import migrate
from storage.metadata_sync.objects import Cause, StoredObject, Table, Unstorable
from storage.metadata_sync.postgres import PostgresTable
from storage.metadata_sync.settings import Settings
from storage.metadata_sync.sync import Synchroniser
from tests.handlers.importing import import_handler
from tests.handlers.records import sequencer as sequencer_of
from tests.handlers.storage.metadata_sync.conftest import LocalDriver
from tests.handlers.storage.metadata_sync.disorder import drawn
from tests.handlers.storage.metadata_sync.doubles import NOW, Rows
from tests.handlers.storage.metadata_sync.world import ENVIRONMENT, POSTGRES, Context, World, record

SOURCE = Path(__file__).parents[4] / "lambda_src"

KEYS = ("a", "a/ü", "b")
FIRST, SECOND = order_key(sequencer_of(1)), order_key(sequencer_of(2))

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
maps = st.dictionaries(texts.filter(bool), texts, max_size=2)
sequencers = st.text("019AF", max_size=4).map(lambda text: order_key(f"0055AED6DCD90281{text}"))

moments = st.datetimes(datetime(2006, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ")
)


@st.composite
def seen_objects(draw: st.DrawFn) -> StoredObject | None:
    """An object, or none."""
    if draw(st.booleans()):
        return None
    return StoredObject(
        version_id=draw(st.sampled_from(["", "null", "v1"])),
        size=draw(st.integers(0, 2**42)),
        etag="e1",
        last_modified=draw(moments),
        checksum=draw(st.sampled_from(["", "CRC32:AAAA"])),
        restore=draw(st.sampled_from(["", "ongoing"])),
        restored_until=draw(st.sampled_from(["", "2026-01-01T00:00:00Z"])),
        content_type=draw(texts),
        metadata=draw(maps),
        tags=draw(maps),
    )


calls = st.one_of(
    st.tuples(st.just("newer"), st.sampled_from(KEYS), seen_objects(), sequencers),
    st.tuples(st.just("instead"), st.sampled_from(KEYS), seen_objects(), st.integers(-1, 1)),
    st.tuples(st.just("read"), st.sampled_from(KEYS), st.none(), st.none()),
    st.tuples(st.just("walk"), st.sampled_from(["", *KEYS]), st.sampled_from(["", "a", "b"]), st.none()),
)

_numbers = itertools.count()


MEMORY, DYNAMODB, POSTGRESQL = range(3)

Tables = Callable[[], Sequence[Table]]


@pytest.fixture(scope="module")
def tables(filled_world: World, connected: Database) -> Tables:
    """Makes the three, empty."""

    def make() -> Sequence[Table]:
        bucket = f"bucket{next(_numbers)}"
        return (
            Rows(),
            DynamoTable(filled_world.dynamodb, "metadata", bucket, tombstone_seconds=60, clock=lambda: NOW),
            PostgresTable(connected, bucket, tombstone_seconds=60, clock=lambda: NOW),
        )

    return make


CAUSE = Cause("ObjectCreated:Put", "2026-01-01T00:00:00.000Z")


def newer(table: Table, key: str, sequencer: str = FIRST, seen: StoredObject | None = None) -> bool:
    """Write a row as an event with a sequencer does."""
    return table.write_newer(key, seen, sequencer=sequencer, cause=CAUSE)[0]


def call(table: Table, what: str, key: str, seen: Any, third: Any) -> object:
    """Make a drawn call and return what it returned."""
    match what:
        case "walk":
            return list(table.walk(after=key, prefix=seen))
        case "read":
            return table.read(key)
        case "newer":
            return table.write_newer(key, seen, sequencer=third, cause=CAUSE)
    row = table.read(key)
    if row and third:
        row = row._replace(revision=row.revision + third)
    if row and row.revision == 0:
        row = None
    return table.write_instead(key, seen, instead_of=row, cause=CAUSE), table.read(key)


# One call takes moto some milliseconds, so few examples have many calls each. Further ones are for --full.
many_calls = st.lists(calls, min_size=8, max_size=14)


@settings(max_examples=6)
@given(made=many_calls)
def test_all_three_tables_answer_every_call_alike(tables: Tables, made: list[tuple[Any, ...]]) -> None:
    check_alike(tables, made)


@pytest.mark.full
@settings(max_examples=60)
@given(made=many_calls)
def test_all_three_tables_answer_many_more_calls_alike(tables: Tables, made: list[tuple[Any, ...]]) -> None:
    check_alike(tables, made)


def check_alike(tables: Tables, made: list[tuple[Any, ...]]) -> None:
    three = tables()
    for one in made:
        memory, dynamodb, postgres = (call(table, *one) for table in three)
        assert memory == dynamodb
        assert memory == postgres


@pytest.mark.parametrize("number", [DYNAMODB, POSTGRESQL])
def test_a_real_table_equals_the_bucket_after_disorders(tables: Tables, number: int) -> None:
    for seed in range(6):
        drawn(Random(seed)).check(tables()[number])


class OneObject:
    """A bucket in which every key has the same object."""

    def __init__(self, stored: StoredObject) -> None:
        self._stored = stored

    def look(self, key: str) -> StoredObject:
        """Return it."""
        return self._stored

    def walk(self, *, after: str, prefix: str) -> Any:
        """List nothing."""
        return iter(())


def test_the_function_writes_into_postgresql(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tables()[POSTGRESQL]
    stored = StoredObject(size=5, etag="e", last_modified="2026-01-01T00:00:00Z")
    function = import_handler("storage.metadata_sync.handler", {**ENVIRONMENT, **POSTGRES})
    monkeypatch.setattr(function, "synchroniser", Synchroniser(OneObject(stored), table))
    assert function.handler({"Records": [record("a b+ü")]}, Context()) == {"written": 1}
    row = table.read("a b+ü")
    assert row
    assert row.object == stored


START = """
import sys
import storage.metadata_sync.handler, storage.metadata_sync.reconciler
print("psycopg" in sys.modules, "storage.metadata_sync.dynamodb" in sys.modules)
"""


@pytest.mark.parametrize(("variables", "loads"), [({}, "False True"), (POSTGRES, "True False")])
def test_the_functions_load_only_the_driver_of_their_target(variables: dict[str, str], loads: str) -> None:
    done = subprocess.run(
        [sys.executable, "-B", "-c", START],
        env={**os.environ, **ENVIRONMENT, **variables, "PYTHONPATH": str(SOURCE)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == loads, done.stderr


@pytest.mark.parametrize("number", [DYNAMODB, POSTGRESQL])
def test_rows_are_in_the_order_in_which_s3_lists_objects(tables: Tables, number: int) -> None:
    """By UTF-8, not by UTF-16 (U+FFFD after U+1F408) and not by a language (a, B, b)."""
    table = tables()[number]
    keys = ["b", "B", "a", "\U0001f408", "\ufffd", "é", "z", "a/", "a-", "é" * 512, " "]
    for key in keys:
        newer(table, key)
    assert [key for key, _ in table.walk(after="", prefix="")] == sorted(keys, key=str.encode)
    assert [key for key, _ in table.walk(after="a", prefix="")] == sorted(keys, key=str.encode)[3:]
    assert [key for key, _ in table.walk(after="", prefix="a")] == ["a", "a-", "a/"]


class Limited:
    """A client of DynamoDB whose pages have two items."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def query(self, **asked: Any) -> Any:
        """Return a page of two."""
        return self._client.query(**asked, Limit=2)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_a_walk_through_dynamodb_continues_after_a_page(filled_world: World) -> None:
    bucket = f"bucket{next(_numbers)}"
    table = DynamoTable(Limited(filled_world.dynamodb), "metadata", bucket, tombstone_seconds=60)
    check_walk(table)


def test_a_walk_through_postgresql_continues_after_a_page(
    tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.metadata_sync.postgres._PAGE", 2)
    check_walk(tables()[POSTGRESQL])


def check_walk(table: Table) -> None:
    for key in "abcde":
        newer(table, key)
    assert [key for key, _ in table.walk(after="a", prefix="")] == ["b", "c", "d", "e"]


@pytest.mark.parametrize("number", [MEMORY, DYNAMODB, POSTGRESQL])
def test_of_two_that_save_a_state_one_succeeds(tables: Tables, number: int) -> None:
    table = tables()[number]
    assert table.load_state() == ("", 0)
    assert table.save_state("one", 0)
    assert not table.save_state("other", 0)
    assert table.load_state() == ("one", 1)
    assert table.save_state("two", 1)
    assert not table.save_state("other", 1)
    assert table.load_state() == ("two", 2)


@pytest.mark.parametrize("number", [DYNAMODB, POSTGRESQL])
def test_reconcilers_of_two_prefixes_of_a_bucket_have_a_state_each(
    filled_world: World, connected: Database, number: int
) -> None:
    bucket = f"bucket{next(_numbers)}"
    names = [
        Settings.from_environment({**ENVIRONMENT, "BUCKET_NAME": bucket, "PREFIX": prefix}).state_name
        for prefix in ("", "a/", "b/")
    ]
    for name in names:
        table: Table = (
            DynamoTable(filled_world.dynamodb, "metadata", bucket, tombstone_seconds=60, state_name=name)
            if number == DYNAMODB
            else PostgresTable(connected, bucket, tombstone_seconds=60, state_name=name)
        )
        assert table.load_state() == ("", 0)
        assert table.save_state(name, 0)


# --- PostgreSQL only


def test_the_schema_is_made_once_by_many_at_once(database: str) -> None:
    def make(_: int) -> None:
        with psycopg.connect(database, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            migrate(connection, "app")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(16)))
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT step FROM migrations").fetchall() == [(1,)]


def test_a_broken_connection_is_replaced_within_the_call(tables: Tables, driver: LocalDriver) -> None:
    table = tables()[POSTGRESQL]
    newer(table, "a")
    before = len(driver.opened)
    with psycopg.connect(driver.uri, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", (driver.opened[-1].info.backend_pid,))
    assert newer(table, "a", SECOND)
    assert len(driver.opened) == before + 1


def test_expired_tombstones_are_removed(connected: Database) -> None:
    now = [NOW]
    bucket = f"bucket{next(_numbers)}"
    table = PostgresTable(connected, bucket, tombstone_seconds=60, clock=lambda: now[0])
    newer(table, "a")
    newer(table, "b", seen=StoredObject(size=1, etag="e", last_modified="2026-01-01T00:00:00Z"))
    table.remove_expired()
    assert table.read("a")
    now[0] += 61
    table.remove_expired()
    assert table.read("a") is None
    assert table.read("b")


NOT_IN_POSTGRESQL = {
    "a key": ("a\0b", None, CAUSE),
    "the name of an event": ("a", None, Cause("Object\0Created", "")),
    "metadata": (
        "a",
        StoredObject(size=1, etag="e", last_modified="2026-01-01T00:00:00Z", metadata={"n": "\0"}),
        CAUSE,
    ),
    "a size": ("a", StoredObject(size=2**63, etag="e", last_modified="2026-01-01T00:00:00Z"), CAUSE),
    "a time": ("a", StoredObject(size=1, etag="e", last_modified="never"), CAUSE),
    "a surrogate": ("a", None, Cause("\ud800", "")),
}


@pytest.mark.parametrize("what", NOT_IN_POSTGRESQL)
def test_what_postgresql_cannot_store_fails_permanently(tables: Tables, what: str) -> None:
    table = tables()[POSTGRESQL]
    key, seen, cause = NOT_IN_POSTGRESQL[what]
    with pytest.raises(Unstorable, match="PostgreSQL cannot store this"):
        table.write_newer(key, seen, sequencer=FIRST, cause=cause)
    assert newer(table, "a")  # and the connection still works


def test_a_walk_through_postgresql_continues_after_a_key_that_it_cannot_store(tables: Tables) -> None:
    table = tables()[POSTGRESQL]
    for key in ("a", "a\x01", "b"):
        newer(table, key)
    assert [key for key, _ in table.walk(after="a\0b", prefix="")] == ["a\x01", "b"]


def test_nothing_that_pins_a_session_is_sent(tables: Tables, driver: LocalDriver) -> None:
    table = tables()[POSTGRESQL]
    for one in (("newer", "a", None, FIRST), ("instead", "a", None, 0), ("walk", "", "", None)):
        call(table, *one)
    with psycopg.connect(driver.uri) as other:
        assert other.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)
    prepared = driver.opened[-1].execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert prepared == (0,)


def test_keys_and_sequencers_compare_by_their_bytes_in_a_database_of_any_language(
    tables: Tables, driver: LocalDriver
) -> None:
    newer(tables()[POSTGRESQL], "a")
    with psycopg.connect(driver.uri) as other:
        found = other.execute(
            "SELECT column_name, collation_name FROM information_schema.columns "
            "WHERE table_name = 'objects' AND column_name IN ('key', 'sequencer') ORDER BY 1"
        ).fetchall()
    assert found == [("key", "C"), ("sequencer", "C")]
