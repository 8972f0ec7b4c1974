"""After any disorder of operations and of their events, the table says what the bucket has."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.handlers.interleaving import Stage, Worker
from tests.handlers.loading import LoadedHandler
from tests.handlers.storage.metadata_sync.disorder import ACTIONS, NOW, Disorder, drawn
from tests.handlers.storage.metadata_sync.doubles import Bucket, Rows

disorders = st.builds(
    Disorder,
    actions=st.lists(st.tuples(st.sampled_from(ACTIONS), st.sampled_from("ab")), min_size=1, max_size=8),
    versioned=st.booleans(),
    deaths=st.integers(0, 2),
    lost=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**32 - 1),
)


@settings(max_examples=400)
@given(disorder=disorders)
def test_the_table_equals_the_bucket_after_any_disorder(
    metadata_sync: LoadedHandler, disorder: Disorder
) -> None:
    disorder.check(metadata_sync)


@pytest.mark.full
def test_it_does_so_after_tens_of_thousands_of_disorders(metadata_sync: LoadedHandler) -> None:
    for seed in range(30_000):
        drawn(Random(seed)).check(metadata_sync)


class Scene:
    """One key, and invocations that go on step by step."""

    def __init__(self, modules: LoadedHandler) -> None:
        self.stage = Stage()
        self.bucket = Bucket(modules, False, Random(1), self.stage.before_step)
        self.rows = Rows(modules, lambda: NOW, self.stage.before_step)
        self._worker = modules.sync.Synchroniser(self.bucket, self.rows, clock=lambda: NOW)

    def begin(self, event: object) -> Worker:
        """Let an invocation begin: it is about to take its first step."""
        self.stage.start(lambda: self._worker.handle(event), event)
        return self.stage.workers[-1]

    def finish(self, worker: Worker) -> None:
        """Let it go on to its end."""
        while not worker.done:
            worker.step()
        assert worker.error is None

    def agrees(self) -> bool:
        """Whether the row is what the bucket has."""
        return bool(self.rows.rows["a"].object == self.bucket.current("a"))


@pytest.fixture
def scene(metadata_sync: LoadedHandler) -> Iterator[Scene]:
    made = Scene(metadata_sync)
    yield made
    made.stage.end()


def test_an_event_that_looked_before_new_tags_and_writes_after_them_looks_again(scene: Scene) -> None:
    put = scene.begin(scene.bucket.put("a"))
    put.step()
    scene.finish(scene.begin(scene.bucket.tag("a")))
    scene.finish(put)
    assert scene.agrees()


def test_so_it_does_where_a_third_wrote_about_another_object_in_between(scene: Scene) -> None:
    """To look again only where the replaced row was about the same object would not do."""
    first = scene.begin(scene.bucket.put("a"))
    first.step()
    second = scene.begin(scene.bucket.put("a"))
    second.step()
    scene.finish(scene.begin(scene.bucket.tag("a")))
    first.step()  # writes the first object over the second with its tags
    scene.finish(second)
    assert scene.agrees()
    scene.finish(first)
    assert scene.agrees()


def test_tags_that_the_row_has_already_leave_their_mark_all_the_same(scene: Scene) -> None:
    first, second = (scene.begin(scene.bucket.put("a")) for _ in range(2))
    second.step()
    tagged = scene.begin(scene.bucket.tag("a"))
    scene.finish(first)
    scene.finish(tagged)
    scene.finish(second)
    assert scene.agrees()


def test_an_invocation_that_died_before_its_second_look_pays_when_it_is_tried_again(scene: Scene) -> None:
    event = scene.bucket.put("a")
    put = scene.begin(event)
    put.step()
    scene.finish(scene.begin(scene.bucket.tag("a")))
    put.step()  # writes
    put.step(die=True)
    assert not scene.agrees()
    scene.finish(scene.begin(event))
    assert scene.agrees()


def test_so_does_one_whose_write_was_done_but_refused_when_it_was_sent_again(scene: Scene) -> None:
    """As a client does, or a database behind a proxy, when the answer to the first was lost."""
    write = scene.rows.write_newer

    def write_twice(*given: Any, **named: Any) -> tuple[bool, Any]:
        write(*given, **named)
        return write(*given, **named)

    scene.rows.write_newer = write_twice  # type: ignore[method-assign]
    put = scene.begin(scene.bucket.put("a"))
    put.step()
    scene.finish(scene.begin(scene.bucket.tag("a")))
    scene.finish(put)
    assert scene.agrees()


def test_an_old_mark_costs_nothing_as_nobody_can_have_missed_it(
    metadata_sync: LoadedHandler,
) -> None:
    bucket = Bucket(metadata_sync, False, Random(1))
    now = [NOW]
    steps: list[str] = []
    rows = Rows(metadata_sync, lambda: now[0])
    worker = metadata_sync.sync.Synchroniser(bucket, rows, clock=lambda: now[0])
    bucket.before_step = rows.before_step = steps.append
    worker.handle(bucket.put("a"))
    worker.handle(bucket.tag("a"))
    for seconds, taken in ((1, ["look", "write newer", "look"]), (20 * 60, ["look", "write newer"])):
        now[0] += seconds
        steps.clear()
        worker.handle(bucket.put("a"))
        assert steps == taken


def test_a_row_that_others_keep_writing_is_left_to_a_later_attempt(metadata_sync: LoadedHandler) -> None:
    bucket = Bucket(metadata_sync, False, Random(1))
    rows = Rows(metadata_sync, lambda: NOW)
    worker = metadata_sync.sync.Synchroniser(bucket, rows, clock=lambda: NOW)
    worker.handle(bucket.put("a"))

    def meanwhile(step: str) -> None:
        if step == "write instead":
            rows.rows["a"] = rows.rows["a"]._replace(revision=rows.rows["a"].revision + 1)

    rows.before_step = meanwhile
    with pytest.raises(metadata_sync.sync.RowKeepsChanging, match="each of the 8 times"):
        worker.handle(bucket.tag("a"))


# --- What the property catches


def caught(modules: LoadedHandler, tries: int = 6000) -> bool:
    """Whether some disorder shows that something is wrong."""
    for seed in range(tries):
        try:
            drawn(Random(seed)).check(modules)
        except AssertionError:
            return True
    return False


def test_without_the_guard_the_property_fails(
    metadata_sync: LoadedHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write_always(self: Rows, key: str, seen: Any, **_: Any) -> tuple[bool, Any]:
        self.before_step("write newer")
        row = self.rows.get(key) or metadata_sync.objects.Row(seen, "", 0, 0)
        self.rows[key] = row._replace(object=seen, revision=row.revision + 1)
        return True, self.rows[key]

    monkeypatch.setattr(Rows, "write_newer", write_always)
    assert caught(metadata_sync)


def test_with_sequencers_compared_as_numbers_the_property_fails(
    metadata_sync: LoadedHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata_sync.sync, "order_key", lambda text: f"{int(text, 16):040x}")
    assert caught(metadata_sync)


def test_without_the_second_look_the_property_fails(
    metadata_sync: LoadedHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata_sync.sync.Synchroniser, "_was_looked_at", lambda self, row: False)
    assert caught(metadata_sync)
