"""One invocation, and what may happen between any two of its steps."""

from collections.abc import Callable

import pytest

from storage.thumbnailer.synchroniser import ObjectKeepsChanging, ObjectTooLarge
from tests.handlers.interleaving import Died
from tests.handlers.storage.thumbnailer.doubles import (
    BAD,
    KEYS,
    SETTINGS,
    Opened,
    Store,
    synchroniser,
)


@pytest.fixture
def store() -> Store:
    return Store()


def during(step: str, action: Callable[[], object]) -> Callable[[str], None]:
    """Do something once, immediately before a step."""
    left = [action]

    def before_step(name: str) -> None:
        if name == step and left:
            left.pop()()

    return before_step


# --- The object changes meanwhile


@pytest.mark.parametrize("step", ["open", "read", f"put {KEYS[64]}", f"put {KEYS[128]}", "put row", "look"])
def test_an_object_that_is_replaced_while_it_is_worked_on_gets_its_own_thumbnails(
    store: Store, step: str
) -> None:
    event = store.write(b"one")
    store.before_step = during(step, lambda: store.write(b"two"))
    assert synchroniser(store).follow(event) == "made"
    assert store.thumbnails[KEYS[64]] == b"two"
    store.check()


@pytest.mark.parametrize("step", ["open", "read", f"put {KEYS[64]}", f"put {KEYS[128]}", "put row", "look"])
def test_an_object_that_is_deleted_while_it_is_worked_on_leaves_nothing(store: Store, step: str) -> None:
    event = store.write(b"one")
    store.before_step = during(step, store.remove)
    assert synchroniser(store).follow(event) == "removed"
    store.check()


@pytest.mark.parametrize("step", ["open", f"delete {KEYS[64]}", f"delete {KEYS[128]}", "delete row", "look"])
def test_an_object_that_comes_back_while_its_thumbnails_are_deleted_gets_them_again(
    store: Store, step: str
) -> None:
    worker = synchroniser(store)
    worker.follow(store.write(b"one"))
    event = store.remove()
    store.before_step = during(step, lambda: store.write(b"two"))
    assert worker.follow(event) == "made"
    store.check()


def test_a_picture_that_replaces_another_file_meanwhile_is_no_failure(store: Store) -> None:
    event = store.write(BAD)
    store.before_step = during("look", lambda: store.write(b"good"))
    assert synchroniser(store).follow(event) == "made"
    store.check()


def test_an_object_that_is_replaced_again_and_again_is_left_to_a_later_attempt(store: Store) -> None:
    event = store.write(b"x")

    def before_step(name: str) -> None:
        if name == "look":
            store.write(b"x")

    store.before_step = before_step
    with pytest.raises(ObjectKeepsChanging, match=r"pictures/cat\.png: .* try again later"):
        synchroniser(store).follow(event)


def test_an_object_over_the_limit_is_closed_unread(store: Store) -> None:
    opened: list[Opened] = []

    class Watched:
        look = store.look

        def open(self, bucket: str, key: str) -> object:
            opened.append(store.open(bucket, key) or pytest.fail("nothing there"))
            return opened[-1]

    event = store.write(b"x" * 101)
    with pytest.raises(ObjectTooLarge, match="101 bytes; at most 100 are read"):
        synchroniser(store, source=Watched()).follow(event)
    assert [one.closed for one in opened] == [True]


def test_an_object_of_exactly_the_limit_is_read(store: Store) -> None:
    event = store.write(b"x" * 100)
    assert synchroniser(store).follow(event) == "made"


def test_a_row_that_another_invocation_wrote_meanwhile_is_not_overwritten_unseen(store: Store) -> None:
    event = store.write(b"one")
    worker = synchroniser(store)
    steps: list[str] = []

    def other() -> None:
        store.before_step = steps.append
        synchroniser(store).follow(event._replace(sequencer="FFFF"))

    store.before_step = during("put row", other)
    worker.follow(event)
    assert store.row is not None
    assert store.row.sequencer == "FFFF"
    assert steps.count("get row") == 2  # the other's, and again after the row was found to have changed
    store.check()


# --- Repeated events


def test_only_the_exact_repetition_of_a_finished_event_is_skipped(store: Store) -> None:
    worker = synchroniser(store)
    event = store.write(b"one")
    worker.follow(event)
    assert worker.follow(event) == "unchanged"
    # It may be the retry of an invocation that died.
    assert worker.follow(event._replace(sequencer="0000")) == "made"
    assert worker.follow(event._replace(sequencer="")) == "made"
    assert store.row is not None
    store.row = store.row._replace(sequencer="")
    assert worker.follow(event._replace(sequencer="")) == "made"  # without a sequencer, nothing is known
    other_keys = synchroniser(store, SETTINGS._replace(output_prefix="other/"))
    assert other_keys.follow(event) == "made"
    assert set(store.thumbnails) == {"other/cat.png/64.webp", "other/cat.png/128.webp"}


def test_the_retry_of_an_invocation_that_died_after_its_writes_is_not_skipped(store: Store) -> None:
    """It put old thumbnails over new ones and died: its retry must not be skipped."""
    worker = synchroniser(store)
    old = store.write(b"old")

    def overtake_and_die() -> None:
        store.before_step = lambda _: None
        worker.follow(store.write(b"new"))
        store.put(KEYS[64], b"old")
        raise Died

    store.before_step = during(f"put {KEYS[64]}", overtake_and_die)
    with pytest.raises(Died):
        worker.follow(old)
    assert store.thumbnails[KEYS[64]] == b"old"
    assert worker.follow(old) == "made"
    store.check()


def test_an_overtaken_invocation_does_not_mistake_its_own_event_for_finished(store: Store) -> None:
    """Found by the races: others leave a row with its sequencer and the newest version meanwhile."""
    worker = synchroniser(store)
    early = store.write(b"one")
    event = store.write(b"two")

    def before_step(step: str) -> None:
        if step == "open":  # its event comes a second time, and that one is faster
            store.before_step = lambda _: None
            worker.follow(event)
            store.before_step = before_step
        elif step == f"put {KEYS[64]}":  # and then an old event finds a new object
            store.before_step = lambda _: None
            store.write(b"three")
            worker.follow(early)
            assert store.row is not None
            assert store.row.sequencer == event.sequencer

    store.before_step = before_step
    assert worker.follow(event) == "made"
    store.check()
