"""Operations on objects, whose events are handled in any order, once or twice, by invocations that die."""

from dataclasses import dataclass
from random import Random
from typing import Any

from storage.metadata_sync.objects import Table
from storage.metadata_sync.sync import RowKeepsChanging, Synchroniser
from tests.handlers.interleaving import Stage
from tests.handlers.storage.metadata_sync.doubles import NOW, Bucket, Doors, Rows, reconciler

ACTIONS = (
    *("put", "put", "put", "delete", "uncover", "delete_older"),
    *("tag", "tag", "restore", "move", "replicate"),
)
# The reconciler compares rows with a listing, which does not show what the other actions change.
LISTED = ("put", "delete", "uncover", "delete_older", "restore", "move")


@dataclass
class Disorder:
    """Actions on a few keys, and an order of the steps of all invocations that handle their events.

    Args:
        actions: Each action and its key.
        versioned: Whether the bucket has versioning.
        deaths: How many invocations die halfway; Lambda tries them again.
        lost: The share of events that never arrive; the reconciler runs at the end.
        seed: Decides everything else.
    """

    actions: list[tuple[str, str]]
    versioned: bool
    deaths: int
    lost: float
    seed: int

    def run(self, real: Table | None = None) -> tuple[Bucket, Any]:
        """Run until nothing is left to do, with the table in memory or a real one."""
        chance = Random(self.seed)
        stage = Stage()
        # In a listing, two objects with the same content that are written in the same second look the same.
        puts = 1 if self.lost else 4
        bucket = Bucket(self.versioned, chance, stage.before_step, puts)
        table: Any = Doors(real, stage.before_step) if real else Rows(before_step=stage.before_step)
        worker = Synchroniser(bucket, table, clock=lambda: NOW)
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
                    if chosen.died or isinstance(chosen.error, RowKeepsChanging):
                        stage.workers.remove(chosen)
                        waiting.append(chosen.event)
        finally:
            stage.end()
        errors = [one.error for one in stage.workers if one.error]
        assert not errors, errors
        bucket.before_step = table.before_step = lambda _: None
        if lost:
            reconciler(bucket, table).tick(seconds=60)
        return bucket, table

    def check(self, real: Table | None = None) -> None:
        """Check that the table agrees with the bucket at the end."""
        bucket, table = self.run(real)
        for key in {key for _, key in self.actions}:
            row = table.read(key)
            assert (row.object if row else None) == bucket.current(key), (key, row, bucket.versions.get(key))


def drawn(chance: Random) -> Disorder:
    """Draw a disorder."""
    kinds = chance.choice([ACTIONS, ("put", "tag"), ("put", "put", "delete", "tag")])
    keys = chance.choice(["a", "a", "ab"])
    actions = [(chance.choice(kinds), chance.choice(keys)) for _ in range(chance.randint(2, 8))]
    lost = chance.choice([0.0, 0.0, 0.0, 0.3])
    return Disorder(actions, chance.random() < 0.5, chance.choice([0, 0, 2]), lost, chance.randrange(2**32))
