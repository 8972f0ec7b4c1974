"""After any disorder of operations and events, the table agrees with the bucket."""

from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.s3_events import ObjectEvent
from storage.metadata_sync.objects import Row
from storage.metadata_sync.sync import RowKeepsChanging, Synchroniser
from tests.handlers.interleaving import Stage, Worker
from tests.handlers.storage.metadata_sync.disorder import ACTIONS, Disorder, drawn
from tests.handlers.storage.metadata_sync.doubles import NOW, Bucket, Rows

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
def test_the_table_equals_the_bucket_after_any_disorder(disorder: Disorder) -> None:
    disorder.check()


@pytest.mark.full
def test_the_table_equals_the_bucket_after_each_of_30_000_disorders() -> None:
    for seed in range(30_000):
        drawn(Random(seed)).check()


class Scene:
    """One key, and invocations that run step by step."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.bucket = Bucket(False, Random(1), self.stage.before_step)
        self.rows = Rows(before_step=self.stage.before_step)
        self._worker = Synchroniser(self.bucket, self.rows, clock=lambda: NOW)

    def tag(self) -> ObjectEvent:
        """Put tags on the object."""
        event = self.bucket.tag("a")
        assert event
        return event

    def begin(self, event: ObjectEvent) -> Worker:
        """Begin an invocation: its first step comes next."""
        self.stage.start(lambda: self._worker.handle(event), event)
        return self.stage.workers[-1]

    def finish(self, worker: Worker) -> None:
        """Run an invocation to its end."""
        while not worker.done:
            worker.step()
        assert worker.error is None

    def agrees(self) -> bool:
        """Whether the row agrees with the bucket."""
        return bool(self.rows.rows["a"].object == self.bucket.current("a"))


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    yield made
    made.stage.end()


def test_an_event_that_looked_before_new_tags_and_writes_after_them_looks_again(scene: Scene) -> None:
    put = scene.begin(scene.bucket.put("a"))
    put.step()
    scene.finish(scene.begin(scene.tag()))
    scene.finish(put)
    assert scene.agrees()


def test_an_event_looks_again_even_if_a_third_one_wrote_another_object_in_between(scene: Scene) -> None:
    """It would not be enough to look again only if the replaced row was about the same object."""
    first = scene.begin(scene.bucket.put("a"))
    first.step()
    second = scene.begin(scene.bucket.put("a"))
    second.step()
    scene.finish(scene.begin(scene.tag()))
    first.step()  # writes the first object over the second with its tags
    scene.finish(second)
    assert scene.agrees()
    scene.finish(first)
    assert scene.agrees()


def test_an_event_about_tags_that_the_row_has_already_still_leaves_a_mark(scene: Scene) -> None:
    first, second = (scene.begin(scene.bucket.put("a")) for _ in range(2))
    second.step()
    tagged = scene.begin(scene.tag())
    scene.finish(first)
    scene.finish(tagged)
    scene.finish(second)
    assert scene.agrees()


def test_an_invocation_that_died_before_its_second_look_makes_up_for_it_when_it_is_tried_again(
    scene: Scene,
) -> None:
    event = scene.bucket.put("a")
    put = scene.begin(event)
    put.step()
    scene.finish(scene.begin(scene.tag()))
    put.step()  # writes
    put.step(die=True)
    assert not scene.agrees()
    scene.finish(scene.begin(event))
    assert scene.agrees()


def test_a_write_that_succeeded_but_was_refused_when_it_was_sent_again_is_followed_by_a_look(
    scene: Scene,
) -> None:
    """A client sends a write again if the answer was lost; so does a database behind a proxy."""
    write = scene.rows.write_newer

    def write_twice(*given: Any, **named: Any) -> tuple[bool, Any]:
        write(*given, **named)
        return write(*given, **named)

    scene.rows.write_newer = write_twice  # type: ignore[method-assign]
    put = scene.begin(scene.bucket.put("a"))
    put.step()
    scene.finish(scene.begin(scene.tag()))
    scene.finish(put)
    assert scene.agrees()


def test_a_mark_older_than_any_invocation_costs_no_second_look() -> None:
    bucket = Bucket(False, Random(1))
    now = [NOW]
    steps: list[str] = []
    rows = Rows(lambda: now[0])
    worker = Synchroniser(bucket, rows, clock=lambda: now[0])
    bucket.before_step = rows.before_step = steps.append
    worker.handle(bucket.put("a"))
    tagged = bucket.tag("a")
    assert tagged
    worker.handle(tagged)
    for seconds, taken in ((1, ["look", "write newer", "look"]), (20 * 60, ["look", "write newer"])):
        now[0] += seconds
        steps.clear()
        worker.handle(bucket.put("a"))
        assert steps == taken


def test_a_row_that_others_keep_writing_is_left_to_a_later_attempt() -> None:
    bucket = Bucket(False, Random(1))
    rows = Rows()
    worker = Synchroniser(bucket, rows, clock=lambda: NOW)
    worker.handle(bucket.put("a"))
    tagged = bucket.tag("a")
    assert tagged

    def meanwhile(step: str) -> None:
        if step == "write instead":
            rows.rows["a"] = rows.rows["a"]._replace(revision=rows.rows["a"].revision + 1)

    rows.before_step = meanwhile
    with pytest.raises(RowKeepsChanging, match="each of 8 attempts"):
        worker.handle(tagged)


# --- What the property catches


def caught(tries: int = 6000) -> bool:
    """Whether some disorder shows that something is wrong."""
    for seed in range(tries):
        try:
            drawn(Random(seed)).check()
        except AssertionError:
            return True
    return False


def test_without_the_guard_the_property_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def write_always(self: Rows, key: str, seen: Any, **_: Any) -> tuple[bool, Any]:
        self.before_step("write newer")
        row = self.rows.get(key) or Row(seen, "", 0, 0)
        self.rows[key] = row._replace(object=seen, revision=row.revision + 1)
        return True, self.rows[key]

    monkeypatch.setattr(Rows, "write_newer", write_always)
    assert caught()


def test_with_sequencers_compared_as_numbers_the_property_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    as_number = "storage.metadata_sync.sync.order_key"
    monkeypatch.setattr(as_number, lambda text: f"{int(text, 16):040x}")
    assert caught()


def test_without_the_second_look_the_property_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Synchroniser, "_has_recent_mark", lambda self, row: False)
    assert caught()
