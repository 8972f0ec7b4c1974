"""A bucket and a table in memory that behave like the real ones, and stop before each step.

``test_tables.py`` shows that the table does what DynamoDB and PostgreSQL do: it makes the same calls to all
three.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from aws_lambda_powertools.logging import Logger

from shared.s3_events import ObjectEvent
from storage.metadata_sync.objects import Cause, Listed, Row, Source, StoredObject, Table
from storage.metadata_sync.reconcile import Reconciler
from storage.metadata_sync.settings import Settings
from tests.handlers.storage.metadata_sync.world import ENVIRONMENT

BUCKET = "photos"
NOW = 1_000_000.0

SETTINGS = Settings.from_environment(ENVIRONMENT)


def _nothing(_: str) -> None:
    """Let nothing happen before a step."""


@dataclass
class Bucket:
    """Objects under keys, with or without versions, and the events that S3 sends about them.

    Args:
        versioned: Whether the bucket has versioning.
        chance: Chooses what S3 is free to choose.
        before_step: Called before each call that the function makes to S3.
        puts_in_a_second: How many objects are written in a second.
    """

    versioned: bool
    chance: Random
    before_step: Callable[[str], None] = _nothing
    puts_in_a_second: int = 4
    versions: dict[str, list[StoredObject | None]] = field(default_factory=dict)  # None: a delete marker
    happened: int = 0

    # What users and S3 do; each returns the event about it, or None if nothing changed

    def put(self, key: str) -> ObjectEvent:
        """Write an object, often with the same content as the last."""
        number = self.happened + 1
        made = StoredObject(
            version_id=f"v{number}" if self.versioned else "",
            size=number % 3,
            etag=f"e{number % 3}",
            last_modified=f"2026-01-01T00:00:{number // self.puts_in_a_second:02}Z",
        )
        self.versions[key] = [*(self.versions.get(key, []) if self.versioned else []), made]
        return self._event(key, "ObjectCreated:Put")

    def delete(self, key: str) -> ObjectEvent | None:
        """Delete an object: with versioning this adds a marker, even if there is no object."""
        if self.versioned:
            self.versions.setdefault(key, []).append(None)
            return self._event(key, "ObjectRemoved:DeleteMarkerCreated")
        if not self.versions.pop(key, None):
            return None
        return self._event(key, self.chance.choice(["ObjectRemoved:Delete", "LifecycleExpiration:Delete"]))

    def uncover(self, key: str) -> ObjectEvent | None:
        """Delete the newest version, or the newest marker, permanently."""
        if not self.versioned or not self.versions.get(key):
            return None
        self.versions[key].pop()
        return self._event(key, "ObjectRemoved:Delete")

    def delete_older(self, key: str) -> ObjectEvent | None:
        """Delete a version below the newest permanently."""
        if len(self.versions.get(key, [])) < 2:
            return None
        del self.versions[key][self.chance.randrange(len(self.versions[key]) - 1)]
        return self._event(key, "ObjectRemoved:Delete")

    def change(self, key: str, name: str, **changes: Any) -> ObjectEvent | None:
        """Change something about the current object without writing a new one."""
        current = self.current(key)
        if current is None:
            return None
        self.versions[key][-1] = replace(current, **changes)
        return self._event(key, name, ordered=False)

    def tag(self, key: str) -> ObjectEvent | None:
        """Put tags."""
        return self.change(key, "ObjectTagging:Put", tags={"n": str(self.happened)})

    def restore(self, key: str) -> ObjectEvent | None:
        """Ask for a restored copy, get it, or lose it again."""
        current = self.current(key)
        if current is None:
            return None
        if current.restore:
            until = f"2026-02-01T00:00:{self.happened % 60:02}Z"
            return self.change(key, "ObjectRestore:Completed", restore="", restored_until=until)
        if current.restored_until:
            return self.change(key, "ObjectRestore:Delete", restored_until="")
        return self.change(key, "ObjectRestore:Post", restore="ongoing")

    def move(self, key: str) -> ObjectEvent | None:
        """Move it to another storage class, as a lifecycle rule does."""
        storage_class = self.chance.choice(["GLACIER", "STANDARD_IA"])
        return self.change(key, "LifecycleTransition", storage_class=storage_class)

    def replicate(self, key: str) -> ObjectEvent | None:
        """Replicate it, with success or without."""
        status = self.chance.choice(["COMPLETED", "FAILED"])
        return self.change(key, "Replication:OperationFailedReplication", replication_status=status)

    def _event(self, key: str, name: str, *, ordered: bool = True) -> ObjectEvent:
        self.happened += 1
        # Sequencers differ in length: S3 defines that they compare with zeros on the right.
        sequencer = f"0055AED6DCD9{self.happened:04X}".rstrip("0") + "0" * self.chance.randrange(3)
        return ObjectEvent(BUCKET, key, name, sequencer if ordered else "", time="2026-01-01T00:00:00.000Z")

    def current(self, key: str) -> StoredObject | None:
        """The current object."""
        return (self.versions.get(key) or [None])[-1]

    # What the function sees

    def look(self, key: str) -> StoredObject | None:
        """Return the current object."""
        self.before_step("look")
        return self.current(key)

    def walk(self, *, after: str, prefix: str) -> Iterator[Listed]:
        """List the objects."""
        for key in sorted(self.versions, key=str.encode):
            one = self.current(key)
            if one and key.encode() > after.encode() and key.startswith(prefix):
                yield Listed(key, **{name: getattr(one, name) for name in Listed._fields if name != "key"})


@dataclass
class Rows:
    """A table in memory, guarded as the real tables are."""

    clock: Callable[[], float] = lambda: NOW
    before_step: Callable[[str], None] = _nothing
    rows: dict[str, Row] = field(default_factory=dict)
    sequencers: dict[str, str] = field(default_factory=dict)
    state: str = ""
    state_revision: int = 0

    def read(self, key: str) -> Row | None:
        """Read a row."""
        self.before_step("read")
        return self.rows.get(key)

    def write_newer(
        self, key: str, seen: StoredObject | None, *, sequencer: str, cause: Cause
    ) -> tuple[bool, Row | None]:
        """Write a row unless it has this sequencer or a later one."""
        self.before_step("write newer")
        row, last = self.rows.get(key), self.sequencers.get(key)
        if last is not None and last >= sequencer:
            return False, row
        self.sequencers[key] = sequencer
        looked_at, revision = (row.looked_at, row.revision) if row else (0, 0)
        self.rows[key] = Row(seen, sequencer, revision + 1, looked_at)
        return True, self.rows[key]

    def write_instead(
        self, key: str, seen: StoredObject | None, *, instead_of: Row | None, cause: Cause
    ) -> bool:
        """Write a row if nothing has written it since it was read."""
        self.before_step("write instead")
        row = self.rows.get(key)
        if (row.revision if row else 0) != (instead_of.revision if instead_of else 0):
            return False
        sequencer, revision = (row.sequencer, row.revision) if row else ("", 0)
        self.rows[key] = Row(seen, sequencer, revision + 1, int(self.clock()))
        return True

    def walk(self, *, after: str, prefix: str) -> Iterator[tuple[str, Row]]:
        """List the rows."""
        for key in sorted(self.rows, key=str.encode):
            if key.encode() > after.encode() and key.startswith(prefix):
                yield key, self.rows[key]

    def remove_expired(self) -> None:
        """Retain tombstones."""

    def load_state(self) -> tuple[str, int]:
        """Return the reconciler's state."""
        return self.state, self.state_revision

    def save_state(self, state: str, revision: int) -> bool:
        """Save it if it still has this revision."""
        if revision != self.state_revision:
            return False
        self.state, self.state_revision = state, revision + 1
        return True


@dataclass
class Doors:
    """A real table that lets other things happen before each step."""

    table: Table
    before_step: Callable[[str], None]

    def read(self, key: str) -> Row | None:
        """Read a row."""
        self.before_step("read")
        return self.table.read(key)

    def write_newer(self, *given: Any, **named: Any) -> tuple[bool, Row | None]:
        """Write a row unless it has this sequencer or a later one."""
        self.before_step("write newer")
        return self.table.write_newer(*given, **named)

    def write_instead(self, *given: Any, **named: Any) -> bool:
        """Write a row if nothing has written it since it was read."""
        self.before_step("write instead")
        return self.table.write_instead(*given, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.table, name)


def reconciler(
    source: Source,
    table: Any,
    *,
    settings: Settings = SETTINGS,
    every: int = 86_400,
    clock: Callable[[], float] = lambda: NOW,
) -> Reconciler:
    """A reconciler of bucket and table."""
    return Reconciler(source, table, settings, every=every, logger=Logger(), clock=clock)
