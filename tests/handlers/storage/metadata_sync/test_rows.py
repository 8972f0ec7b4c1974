"""Three tables, one contract: DynamoDB's, PostgreSQL's, and the one in memory that races are played on."""

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from random import Random
from typing import Any

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.handlers.loading import SOURCE, LoadedHandler
from tests.handlers.storage.metadata_sync import doubles
from tests.handlers.storage.metadata_sync.disorder import drawn
from tests.handlers.storage.metadata_sync.world import ENVIRONMENT, POSTGRES, Context, World, record

KEYS = ("a", "a/ü", "b")
NOW = 1_000_000.0

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
maps = st.dictionaries(texts.filter(bool), texts, max_size=2)
sequencers = st.text("019AF", max_size=4).map(lambda text: text.rstrip("0"))


moments = st.datetimes(datetime(2006, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ")
)


@st.composite
def seen_objects(draw: st.DrawFn) -> dict[str, Any] | None:
    """An object, or none."""
    if draw(st.booleans()):
        return None
    return {
        "version_id": draw(st.sampled_from(["", "null", "v1"])),
        "size": draw(st.integers(0, 2**42)),
        "etag": "e1",
        "last_modified": draw(moments),
        "checksum": draw(st.sampled_from(["", "CRC32:AAAA"])),
        "restore": draw(st.sampled_from(["", "ongoing"])),
        "restored_until": draw(st.sampled_from(["", "2026-01-01T00:00:00Z"])),
        "content_type": draw(texts),
        "metadata": draw(maps),
        "tags": draw(maps),
    }


calls = st.one_of(
    st.tuples(st.just("newer"), st.sampled_from(KEYS), seen_objects(), sequencers),
    st.tuples(st.just("instead"), st.sampled_from(KEYS), seen_objects(), st.integers(-1, 1)),
    st.tuples(st.just("read"), st.sampled_from(KEYS), st.none(), st.none()),
    st.tuples(st.just("walk"), st.sampled_from(["", *KEYS]), st.sampled_from(["", "a", "b"]), st.none()),
)

_numbers = itertools.count()


@pytest.fixture(scope="module")
def tables(
    metadata_sync: LoadedHandler,
    with_postgres: LoadedHandler,
    filled_world: World,
    connected: Any,
) -> Callable[[], Any]:
    """Makes the three, empty, with the modules that each was made from."""

    def make() -> list[tuple[LoadedHandler, Any]]:
        bucket = f"bucket{next(_numbers)}"
        options: dict[str, Any] = {"tombstone_seconds": 60, "clock": lambda: NOW}
        dynamodb = filled_world.dynamodb
        return [
            (metadata_sync, doubles.Rows(metadata_sync, lambda: NOW)),
            (metadata_sync, metadata_sync.dynamodb.DynamoRows(dynamodb, "metadata", bucket, **options)),
            (with_postgres, with_postgres.postgres.PostgresRows(connected, bucket, **options)),
        ]

    return make


def plain(row: Any) -> Any:
    """A row without the classes of the handler that it came from."""
    if row is None:
        return None
    return (vars(row.object) if row.object else None, row.sequencer or "", row.revision, row.looked_at)


def call(modules: LoadedHandler, rows: Any, what: str, key: str, seen: Any, third: Any) -> Any:
    """Make a call and return what it returned, plainly."""
    cause = modules.objects.Cause("ObjectCreated:Put", "2026-01-01T00:00:00.000Z")
    if what == "walk":
        return [(one, plain(row)) for one, row in rows.walk(after=key, prefix=seen)]
    if what == "read":
        return plain(rows.read(key))
    made = modules.objects.StoredObject(**seen) if seen else None
    if what == "newer":
        written, row = rows.write_newer(key, made, sequencer=third, cause=cause)
        return written, plain(row)
    row = rows.read(key)
    if row and third:
        row = row._replace(revision=row.revision + third)
    if row and row.revision == 0:
        row = None
    return rows.write_instead(key, made, instead_of=row, cause=cause), plain(rows.read(key))


@settings(max_examples=25)
@given(made=st.lists(calls, min_size=1, max_size=10))
def test_all_three_answer_every_call_alike(tables: Callable[[], Any], made: list[tuple[Any, ...]]) -> None:
    three = tables()
    for one in made:
        memory, dynamodb, postgres = (call(modules, rows, *one) for modules, rows in three)
        assert memory == dynamodb
        assert memory == postgres


@pytest.mark.parametrize("number", [1, 2])
def test_the_table_equals_the_bucket_after_disorders_in_either(
    tables: Callable[[], Any], number: int
) -> None:
    for seed in range(15):
        drawn(Random(seed)).check(*tables()[number])


def test_the_function_writes_into_postgresql(
    tables: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    modules, rows = tables()[2]
    stored = modules.objects.StoredObject(size=5, etag="e", last_modified="2026-01-01T00:00:00Z")
    here = modules.sync.Synchroniser(type("Source", (), {"look": lambda self, key: stored})(), rows)
    monkeypatch.setattr(modules.handler, "synchroniser", here)
    with modules.importable():
        assert modules.handler.handler({"Records": [record("a b+ü")]}, Context()) == {"written": 1}
    assert rows.read("a b+ü").object == stored


START = """
import sys
import handler, reconciler
print("psycopg" in sys.modules, len(handler.others))
"""


@pytest.mark.parametrize(("variables", "loads"), [({}, "False 1"), (POSTGRES, "True 0")])
def test_the_functions_load_the_driver_of_their_target_alone(variables: dict[str, str], loads: str) -> None:
    path = os.pathsep.join([str(SOURCE / "storage" / "metadata_sync"), str(SOURCE)])
    done = subprocess.run(
        [sys.executable, "-B", "-c", START],
        env={**os.environ, **ENVIRONMENT, **variables, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == loads, done.stderr


@pytest.mark.parametrize("number", [1, 2])
def test_rows_are_in_the_order_in_which_s3_lists_objects(tables: Callable[[], Any], number: int) -> None:
    """By their UTF-8: neither by UTF-16 (U+FFFD after U+1F408) nor by a language (a, B, b)."""
    modules, rows = tables()[number]
    keys = ["b", "B", "a", "\U0001f408", "\ufffd", "é", "z", "a/", "a-", "é" * 512, " "]
    for key in keys:
        call(modules, rows, "newer", key, None, "1")
    assert [key for key, _ in rows.walk(after="", prefix="")] == sorted(keys, key=str.encode)
    assert [key for key, _ in rows.walk(after="a", prefix="")] == sorted(keys, key=str.encode)[3:]
    assert [key for key, _ in rows.walk(after="", prefix="a")] == ["a", "a-", "a/"]


@pytest.mark.parametrize("number", [1, 2])
def test_a_walk_goes_on_past_a_page(tables: Callable[[], Any], number: int, monkeypatch: Any) -> None:
    modules, rows = tables()[number]
    if number == 2:
        monkeypatch.setattr(modules.postgres, "_PAGE", 2)
    else:
        query = rows._dynamodb.query
        monkeypatch.setattr(rows, "_dynamodb", Limited(rows._dynamodb, query))
    for key in "abcde":
        call(modules, rows, "newer", key, None, "1")
    assert [key for key, _ in rows.walk(after="a", prefix="")] == ["b", "c", "d", "e"]


class Limited:
    """A client whose pages have two items."""

    def __init__(self, client: Any, query: Any) -> None:
        self._client = client
        self._query = query

    def query(self, **asked: Any) -> Any:
        """A page of two."""
        return self._query(**asked, Limit=2)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.fixture
def states(tables: Callable[[], Any]) -> list[Any]:
    (_, _), (dynamo, rows), (postgres, others) = tables()
    bucket = f"bucket{next(_numbers)}"
    return [
        doubles.States(),
        dynamo.dynamodb.DynamoStates(rows._dynamodb, "metadata", bucket),
        postgres.postgres.PostgresStates(others._table._database, bucket),
    ]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_state_is_saved_by_one_of_two(states: list[Any], number: int) -> None:
    state = states[number]
    assert state.load() == ("", 0)
    assert state.save("one", 0)
    assert not state.save("other", 0)
    assert state.load() == ("one", 1)
    assert state.save("two", 1)
    assert not state.save("other", 1)
    assert state.load() == ("two", 2)


# --- PostgreSQL alone


def test_the_schema_is_made_once_by_many_at_once(with_postgres: LoadedHandler, database: str) -> None:
    def make(_: int) -> None:
        with psycopg.connect(database, autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            with_postgres.postgres.make_tables(connection)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make, range(16)))
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT step FROM migrations").fetchall() == [(1,)]


def test_a_connection_that_broke_is_renewed_within_the_call(
    tables: Callable[[], Any],
    connected: Any,
) -> None:
    modules, rows = tables()[2]
    call(modules, rows, "newer", "a", None, "1")
    before = len(connected.opened)
    with psycopg.connect(connected.uri, autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", (connected.opened[-1].info.backend_pid,))
    assert call(modules, rows, "newer", "a", None, "2")[0]
    assert len(connected.opened) == before + 1


def test_expired_tombstones_are_removed(tables: Callable[[], Any]) -> None:
    modules, rows = tables()[2]
    call(modules, rows, "newer", "a", None, "1")
    call(modules, rows, "newer", "b", {"size": 1, "etag": "e", "last_modified": "2026-01-01T00:00:00Z"}, "1")
    rows.remove_expired()
    assert rows.read("a")
    rows._clock = lambda: NOW + 61
    rows.remove_expired()
    assert rows.read("a") is None
    assert rows.read("b")


def test_a_key_that_postgresql_cannot_hold_fails_for_good(tables: Callable[[], Any]) -> None:
    modules, rows = tables()[2]
    with pytest.raises(modules.errors.UnstorableKey, match="NUL"):
        call(modules, rows, "newer", "a\0b", None, "1")


def test_nothing_that_pins_a_session_is_sent(tables: Callable[[], Any], connected: Any) -> None:
    modules, rows = tables()[2]
    for one in (("newer", "a", None, "1"), ("instead", "a", None, 0), ("walk", "", "", None)):
        call(modules, rows, *one)
    with psycopg.connect(connected.uri) as other:
        assert other.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)
    prepared = connected.opened[-1].execute("SELECT count(*) FROM pg_prepared_statements").fetchone()
    assert prepared == (0,)


def test_keys_and_sequencers_compare_by_their_bytes_whatever_the_databases_language(
    tables: Callable[[], Any],
    connected: Any,
) -> None:
    modules, rows = tables()[2]
    call(modules, rows, "newer", "a", None, "1")
    with psycopg.connect(connected.uri) as other:
        found = other.execute(
            "SELECT column_name, collation_name FROM information_schema.columns "
            "WHERE table_name = 'objects' AND column_name IN ('key', 'sequencer') ORDER BY 1"
        ).fetchall()
    assert found == [("key", "C"), ("sequencer", "C")]
