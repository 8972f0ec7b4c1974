"""Whatever users do with objects, and in whatever order and however often its events are handled."""

from dataclasses import dataclass
from random import Random
from typing import Any

from tests.handlers.interleaving import Stage
from tests.handlers.loading import LoadedHandler
from tests.handlers.storage.metadata_sync.doubles import Bucket, Doors, Rows, reconciler

ACTIONS = (
    *("put", "put", "put", "delete", "uncover", "delete_older"),
    *("tag", "tag", "restore", "move", "replicate"),
)
# A listing, which is all that the reconciler compares, does not show what the others change.
LISTED = ("put", "delete", "uncover", "delete_older", "restore", "move")
NOW = 1_000_000.0


@dataclass
class Disorder:
    """What happens to a few keys, and in which order that and all that follows from it happens.

    Args:
        actions: What is done, and to which key.
        versioned: Whether the bucket keeps versions.
        deaths: How many invocations die in the middle; Lambda tries them again.
        lost: The share of events that never come; the reconciler runs at the end.
        seed: Decides everything else.
    """

    actions: list[tuple[str, str]]
    versioned: bool
    deaths: int
    lost: float
    seed: int

    def run(self, modules: LoadedHandler, real: Any = None) -> tuple[Bucket, Any]:
        """Do all of it to the end, with the table in memory or a real one."""
        chance = Random(self.seed)
        stage = Stage()
        # A listing does not tell two objects apart that are written in one second and have the same content.
        puts = 1 if self.lost else 4
        bucket = Bucket(modules, self.versioned, chance, stage.before_step, puts)
        rows: Any = Rows(modules, lambda: NOW, stage.before_step)
        if real:
            rows = Doors(real, stage.before_step)
        worker = modules.sync.Synchroniser(bucket, rows, clock=lambda: NOW)
        actions, deaths, lost = list(self.actions), self.deaths, False
        waiting: list[Any] = []

        def act(action: str, key: str) -> None:
            nonlocal lost
            event = getattr(bucket, action)(key)
            if event is None:
                return
            if action in LISTED and chance.random() < self.lost:
                lost = True
                return
            waiting.extend([event] * chance.choice([1, 1, 2]))  # S3 delivers at least once

        try:
            while actions or waiting or stage.running:
                choice = chance.random()
                if actions and (choice < 0.25 or not (waiting or stage.running)):
                    act(*actions.pop(0))
                elif waiting and (choice < 0.55 or not stage.running):
                    event = waiting.pop(chance.randrange(len(waiting)))
                    stage.start(lambda event=event: worker.handle(event), event)  # type: ignore[misc]
                elif stage.running:
                    chosen = chance.choice(stage.running)
                    for _ in range(chance.choice([1, 1, 2, 9])):
                        dies = deaths > 0 and chance.random() < 0.1
                        deaths -= dies
                        chosen.step(die=dies)
                        if chosen.done:
                            break
                    if chosen.died or isinstance(chosen.error, modules.sync.RowKeepsChanging):
                        stage.workers.remove(chosen)
                        waiting.append(chosen.event)
        finally:
            stage.end()
        errors = [one.error for one in stage.workers if one.error]
        assert not errors, errors
        bucket.before_step = rows.before_step = lambda _: None
        if lost:
            reconciler(modules, bucket, rows, clock=lambda: NOW).tick(seconds=60)
        return bucket, rows

    def check(self, modules: LoadedHandler, real: Any = None) -> None:
        """In the end the table says what the bucket has."""
        bucket, rows = self.run(modules, real)
        for key in {key for _, key in self.actions}:
            row = rows.read(key)
            assert (row.object if row else None) == bucket.current(key), (key, row, bucket.versions.get(key))


def drawn(chance: Random) -> Disorder:
    """Any of all there can be."""
    kinds = chance.choice([ACTIONS, ("put", "tag"), ("put", "put", "delete", "tag")])
    keys = chance.choice(["a", "a", "ab"])
    actions = [(chance.choice(kinds), chance.choice(keys)) for _ in range(chance.randint(2, 8))]
    lost = chance.choice([0.0, 0.0, 0.0, 0.3])
    return Disorder(actions, chance.random() < 0.5, chance.choice([0, 0, 2]), lost, chance.randrange(2**32))
