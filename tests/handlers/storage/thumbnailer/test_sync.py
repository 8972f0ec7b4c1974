"""Events as hints: one invocation, and what may happen between any two of its steps."""

from collections.abc import Callable

import pytest

from tests.handlers.interleaving import Died
from tests.handlers.loading import LoadedHandler
from tests.handlers.storage.thumbnailer.doubles import (
    BAD,
    KEYS,
    Opened,
    Store,
    synchroniser,
)


@pytest.fixture
def store(thumbnailer: LoadedHandler) -> Store:
    return Store(thumbnailer)


def during(step: str, action: Callable[[], object]) -> Callable[[str], None]:
    """Do something once, just before a step."""
    left = [action]

    def before_step(name: str) -> None:
        if name == step and left:
            left.pop()()

    return before_step


# --- One invocation, and something that happens meanwhile


@pytest.mark.parametrize("step", ["open", "read", f"put {KEYS[64]}", f"put {KEYS[128]}", "put row", "look"])
def test_an_object_that_is_replaced_while_it_is_worked_on_gets_its_own_thumbnails(
    thumbnailer: LoadedHandler, store: Store, step: str
) -> None:
    event = store.write(b"one")
    store.before_step = during(step, lambda: store.write(b"two"))
    assert synchroniser(thumbnailer, store).handle(event) == "made"
    assert store.thumbnails[KEYS[64]] == b"two"
    store.check()


@pytest.mark.parametrize("step", ["open", "read", f"put {KEYS[64]}", f"put {KEYS[128]}", "put row", "look"])
def test_an_object_that_is_deleted_while_it_is_worked_on_leaves_nothing(
    thumbnailer: LoadedHandler, store: Store, step: str
) -> None:
    event = store.write(b"one")
    store.before_step = during(step, store.remove)
    assert synchroniser(thumbnailer, store).handle(event) == "removed"
    store.check()


@pytest.mark.parametrize("step", ["open", f"delete {KEYS[64]}", f"delete {KEYS[128]}", "delete row", "look"])
def test_an_object_that_comes_back_while_its_thumbnails_are_deleted_gets_them_again(
    thumbnailer: LoadedHandler, store: Store, step: str
) -> None:
    worker = synchroniser(thumbnailer, store)
    worker.handle(store.write(b"one"))
    event = store.remove()
    store.before_step = during(step, lambda: store.write(b"two"))
    assert worker.handle(event) == "made"
    store.check()


def test_a_picture_that_replaces_something_else_meanwhile_is_no_failure(
    thumbnailer: LoadedHandler, store: Store
) -> None:
    event = store.write(BAD)
    store.before_step = during("look", lambda: store.write(b"good"))
    assert synchroniser(thumbnailer, store).handle(event) == "made"
    store.check()


def test_an_object_that_is_replaced_again_and_again_is_left_to_a_later_attempt(
    thumbnailer: LoadedHandler, store: Store
) -> None:
    event = store.write(b"x")

    def before_step(name: str) -> None:
        if name == "look":
            store.write(b"x")

    store.before_step = before_step
    with pytest.raises(thumbnailer.sync.ObjectKeepsChanging, match=r"pictures/cat\.png: .* try again later"):
        synchroniser(thumbnailer, store).handle(event)


def test_an_object_over_the_limit_is_closed_unread(thumbnailer: LoadedHandler, store: Store) -> None:
    opened: list[Opened] = []

    class Watched:
        look = store.look

        def open(self, bucket: str, key: str) -> object:
            opened.append(store.open(bucket, key) or pytest.fail("nothing there"))
            return opened[-1]

    event = store.write(b"x" * 101)
    with pytest.raises(thumbnailer.errors.ObjectTooLarge, match="101 bytes; at most 100 are read"):
        synchroniser(thumbnailer, store, source=Watched()).handle(event)
    assert [one.closed for one in opened] == [True]


def test_an_object_of_exactly_the_limit_is_read(thumbnailer: LoadedHandler, store: Store) -> None:
    event = store.write(b"x" * 100)
    assert synchroniser(thumbnailer, store).handle(event) == "made"


def test_a_row_that_another_invocation_wrote_meanwhile_is_not_overwritten_unseen(
    thumbnailer: LoadedHandler, store: Store
) -> None:
    event = store.write(b"one")
    worker = synchroniser(thumbnailer, store)
    steps: list[str] = []

    def other() -> None:
        store.before_step = steps.append
        synchroniser(thumbnailer, store).handle(event._replace(sequencer="FFFF"))

    store.before_step = during("put row", other)
    worker.handle(event)
    assert store.row.sequencer == "FFFF"
    assert steps.count("get row") == 2  # the other's, and once more when the row was found changed
    store.check()


# --- Events that say nothing new


def test_only_the_exact_repetition_of_a_finished_event_is_skipped(
    thumbnailer: LoadedHandler, store: Store
) -> None:
    worker = synchroniser(thumbnailer, store)
    event = store.write(b"one")
    worker.handle(event)
    assert worker.handle(event) == "unchanged"
    assert (
        worker.handle(event._replace(sequencer="0000")) == "made"
    )  # perhaps the retry of one that broke off
    assert worker.handle(event._replace(sequencer="")) == "made"
    store.row = store.row._replace(sequencer="")
    assert worker.handle(event._replace(sequencer="")) == "made"  # no sequencer tells nothing
    other_keys = synchroniser(thumbnailer, store, thumbnail_keys=lambda _: {64: "x", 128: "y"})
    assert other_keys.handle(event) == "made"
    assert set(store.thumbnails) == {"x", "y"}


def test_an_invocation_that_died_after_its_thumbnails_is_made_up_for_by_its_retry(
    thumbnailer: LoadedHandler, store: Store
) -> None:
    """It put old thumbnails over new ones and died: its retry must not be skipped."""
    worker = synchroniser(thumbnailer, store)
    old = store.write(b"old")

    def overtake_and_die() -> None:
        store.before_step = lambda _: None
        worker.handle(store.write(b"new"))
        store.put(KEYS[64], b"old")
        raise Died

    store.before_step = during(f"put {KEYS[64]}", overtake_and_die)
    with pytest.raises(Died):
        worker.handle(old)
    assert store.thumbnails[KEYS[64]] == b"old"
    assert worker.handle(old) == "made"
    store.check()


def test_an_invocation_that_was_overtaken_does_not_take_its_own_event_for_finished(
    thumbnailer: LoadedHandler, store: Store
) -> None:
    """Found by the races: others leave a row with its sequencer and the newest version behind its back."""
    worker = synchroniser(thumbnailer, store)
    early = store.write(b"one")
    event = store.write(b"two")

    def before_step(step: str) -> None:
        if step == "open":  # its event comes a second time, and that one is faster
            store.before_step = lambda _: None
            worker.handle(event)
            store.before_step = before_step
        elif step == f"put {KEYS[64]}":  # and then an old event finds a new object
            store.before_step = lambda _: None
            store.write(b"three")
            worker.handle(early)
            assert store.row.sequencer == event.sequencer

    store.before_step = before_step
    assert worker.handle(event) == "made"
    store.check()
