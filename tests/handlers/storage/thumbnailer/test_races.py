"""In whatever order things happen, thumbnails and row are in the end those of the current object.

Several invocations work on one key at once while objects are written and deleted, each step of each in an
order that is drawn at random; an invocation may die at any step, and is then retried, as by Lambda.
"""

import threading
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from storage.thumbnailer.decoders.errors import NotAnImage
from storage.thumbnailer.synchroniser import ObjectKeepsChanging
from tests.handlers.interleaving import Stage
from tests.handlers.storage.thumbnailer.doubles import BAD, Opened, Store, synchroniser


@dataclass
class Race:
    """What users do with a key, and a seed for the order of everything that follows."""

    actions: list[str]
    deaths: int
    seed: int

    def run(self, **changes: Any) -> Store:
        """Run it to the end; every event is handled, those of dead invocations a second time."""
        chance = Random(self.seed)
        stage = Stage()
        store = Store(stage.before_step)
        worker = synchroniser(store, **{name: made(store) for name, made in changes.items()})
        actions, deaths = list(self.actions), self.deaths

        def handle(event: Any) -> None:
            stage.start(lambda: worker.follow(event), event)

        def act(action: str) -> object:
            if action == "remove" and store.current:
                return store.remove()
            if action == "uncover" and store.versions:
                return store.uncover()
            return store.write(BAD if action == "write something bad" else b"picture %d" % store.happened)

        try:
            while actions or stage.running:
                if not stage.running or (actions and chance.random() < 0.2):
                    event = act(actions.pop(0))
                    for _ in range(chance.choice([1, 2, 2])):  # S3 delivers at least once
                        handle(event)
                    continue
                chosen = chance.choice(stage.running)
                for _ in range(chance.choice([1, 2, 5, 20])):
                    dies = deaths > 0 and chance.random() < 0.1
                    deaths -= dies
                    chosen.step(die=dies)
                    if chosen.done:
                        break
                if chosen.died or isinstance(chosen.error, ObjectKeepsChanging):
                    stage.workers.remove(chosen)
                    handle(chosen.event)
        finally:
            stage.end()
        errors = [one.error for one in stage.workers if one.error]
        assert all(isinstance(one, NotAnImage) for one in errors), errors
        return store


races = st.builds(
    Race,
    actions=st.lists(
        st.sampled_from(["write", "write", "write something bad", "remove", "uncover"]),
        min_size=1,
        max_size=4,
    ),
    deaths=st.integers(0, 2),
    seed=st.integers(0, 2**32),
)


@settings(max_examples=300)
@given(race=races)
def test_any_order_of_events_ends_with_the_thumbnails_of_the_current_object(race: Race) -> None:
    race.run().check()


def test_the_races_find_a_handler_that_does_not_look_again() -> None:
    """Without the second look, some race is lost: the test above can fail."""

    class Blind:
        def __init__(self, store: Store) -> None:
            self.store = store
            self.opened: dict[int, Any] = {}

        def open(self, bucket: str, key: str) -> Opened | None:
            opened = self.store.open(bucket, key)
            self.opened[threading.get_ident()] = opened.version if opened else None
            return opened

        def look(self, bucket: str, key: str) -> Any:
            self.store.before_step("look")
            return self.opened[threading.get_ident()]

    @settings(max_examples=1000, database=None, phases=[Phase.generate])
    @given(race=races)
    def lose(race: Race) -> None:
        race.run(source=Blind).check()

    with pytest.raises(AssertionError):
        lose()
