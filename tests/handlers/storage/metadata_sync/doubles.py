"""A bucket and a table in memory, with a door before every step: what the real ones do, as far as it matters.

That the table does what DynamoDB and PostgreSQL do is shown by ``test_rows.py``, which gives all three the
same calls.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from tests.handlers.loading import LoadedHandler

BUCKET = "photos"


@dataclass
class Bucket:
    """Objects under keys, with or without versions, and the events that S3 sends about them.

    Args:
        modules: The handler's.
        versioned: Whether the bucket keeps versions.
        chance: Chooses what S3 is free to choose.
        before_step: Called before everything that reaches S3: there other things may happen.
        puts_in_a_second: How many objects are written in a second.
    """

    modules: LoadedHandler
    versioned: bool
    chance: Random
    before_step: Callable[[str], None] = lambda _: None
    puts_in_a_second: int = 4
    versions: dict[str, list[Any]] = field(default_factory=dict)  # None is a delete marker
    happened: int = 0

    # What users and S3 do; each returns the event about it, or nothing where nothing was done

    def put(self, key: str) -> Any:
        """Write an object, often with the same content as the last."""
        number = self.happened + 1
        made = self.modules.objects.StoredObject(
            version_id=f"v{number}" if self.versioned else "",
            size=number % 3,
            etag=f"e{number % 3}",
            last_modified=f"2026-01-01T00:00:{number // self.puts_in_a_second:02}Z",
        )
        self.versions[key] = [*(self.versions.get(key, []) if self.versioned else []), made]
        return self._event(key, "ObjectCreated:Put")

    def delete(self, key: str) -> Any:
        """Delete an object: with versions that is a marker on top, even where there is nothing."""
        if self.versioned:
            self.versions.setdefault(key, []).append(None)
            return self._event(key, "ObjectRemoved:DeleteMarkerCreated")
        if not self.versions.pop(key, None):
            return None
        return self._event(key, self.chance.choice(["ObjectRemoved:Delete", "LifecycleExpiration:Delete"]))

    def uncover(self, key: str) -> Any:
        """Delete the newest version, or the marker on top, for good."""
        if not self.versioned or not self.versions.get(key):
            return None
        self.versions[key].pop()
        return self._event(key, "ObjectRemoved:Delete")

    def delete_older(self, key: str) -> Any:
        """Delete a version below the newest for good."""
        if len(self.versions.get(key, [])) < 2:
            return None
        del self.versions[key][self.chance.randrange(len(self.versions[key]) - 1)]
        return self._event(key, "ObjectRemoved:Delete")

    def change(self, key: str, name: str, **changes: object) -> Any:
        """Change something about the current object that is no new object."""
        current = self.current(key)
        if current is None:
            return None
        self.versions[key][-1] = replace(current, **changes)
        return self._event(key, name, ordered=False)

    def tag(self, key: str) -> Any:
        """Put tags."""
        return self.change(key, "ObjectTagging:Put", tags={"n": str(self.happened)})

    def restore(self, key: str) -> Any:
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

    def move(self, key: str) -> Any:
        """Move it to another storage class, as a lifecycle rule does."""
        storage_class = self.chance.choice(["GLACIER", "STANDARD_IA"])
        return self.change(key, "LifecycleTransition", storage_class=storage_class)

    def replicate(self, key: str) -> Any:
        """Have it replicated, or fail to."""
        status = self.chance.choice(["COMPLETED", "FAILED"])
        return self.change(key, "Replication:OperationFailedReplication", replication_status=status)

    def _event(self, key: str, name: str, *, ordered: bool = True) -> Any:
        self.happened += 1
        # Sequencers differ in length: S3 has them compared with zeros on the right.
        sequencer = f"00{self.happened:03x}".rstrip("0") + "0" * self.chance.randrange(3)
        return self.modules.shared.s3_events.ObjectEvent(
            BUCKET, key, name, sequencer if ordered else "", time="2026-01-01T00:00:00.000Z"
        )

    def current(self, key: str) -> Any:
        """The object that is there."""
        return (self.versions.get(key) or [None])[-1]

    # What the function sees

    def look(self, key: str) -> Any:
        """Return the object that is there now."""
        self.before_step("look")
        return self.current(key)

    def walk(self, *, after: str, prefix: str) -> Iterator[Any]:
        """List the objects."""
        for key in sorted(self.versions, key=str.encode):
            one = self.current(key)
            if one and key.encode() > after.encode() and key.startswith(prefix):
                names = self.modules.objects.Listed._fields
                yield self.modules.objects.Listed(
                    key=key, **{name: getattr(one, name) for name in names if name != "key"}
                )


@dataclass
class Rows:
    """Rows, guarded as the real tables guard them."""

    modules: LoadedHandler
    clock: Callable[[], float]
    before_step: Callable[[str], None] = lambda _: None
    rows: dict[str, Any] = field(default_factory=dict)

    def read(self, key: str) -> Any:
        """Read a row."""
        self.before_step("read")
        return self.rows.get(key)

    def write_newer(self, key: str, seen: Any, *, sequencer: str, cause: Any) -> tuple[bool, Any]:
        """Write a row unless it has this sequencer or a later one."""
        self.before_step("write newer")
        row = self.rows.get(key)
        if row and row.sequencer is not None and row.sequencer >= sequencer:
            return False, row
        looked_at, revision = (row.looked_at, row.revision) if row else (0, 0)
        self.rows[key] = self.modules.objects.Row(seen, sequencer, revision + 1, looked_at)
        return True, self.rows[key]

    def write_instead(self, key: str, seen: Any, *, instead_of: Any, cause: Any) -> bool:
        """Write a row if it is still the one that was read."""
        self.before_step("write instead")
        row = self.rows.get(key)
        if (row.revision if row else 0) != (instead_of.revision if instead_of else 0):
            return False
        sequencer, revision = (row.sequencer, row.revision) if row else (None, 0)
        self.rows[key] = self.modules.objects.Row(seen, sequencer, revision + 1, int(self.clock()))
        return True

    def walk(self, *, after: str, prefix: str) -> Iterator[tuple[str, Any]]:
        """List the rows."""
        for key in sorted(self.rows, key=str.encode):
            if key.encode() > after.encode() and key.startswith(prefix):
                yield key, self.rows[key]

    def remove_expired(self) -> None:
        """Tombstones stay."""


@dataclass
class Doors:
    """A real table, with a door before every step."""

    rows: Any
    before_step: Callable[[str], None]

    def read(self, key: str) -> Any:
        """Read a row."""
        self.before_step("read")
        return self.rows.read(key)

    def write_newer(self, *given: Any, **named: Any) -> Any:
        """Write a row unless it has this sequencer or a later one."""
        self.before_step("write newer")
        return self.rows.write_newer(*given, **named)

    def write_instead(self, *given: Any, **named: Any) -> Any:
        """Write a row if it is still the one that was read."""
        self.before_step("write instead")
        return self.rows.write_instead(*given, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rows, name)


@dataclass
class States:
    """The reconciler's state."""

    state: str = ""
    revision: int = 0

    def load(self) -> tuple[str, int]:
        """Return it."""
        return self.state, self.revision

    def save(self, state: str, revision: int) -> bool:
        """Save it if nobody else has."""
        if revision != self.revision:
            return False
        self.state, self.revision = state, revision + 1
        return True


def reconciler(modules: LoadedHandler, source: Any, rows: Any, states: Any = None, **changes: Any) -> Any:
    """A reconciler around them, some of its parts replaced."""
    clock = changes.get("clock", lambda: 1_000_000.0)
    parts: dict[str, Any] = {
        "comparison": modules.reconcile.Listing(
            source, rows, follows=changes.pop("follows", lambda key: True), prefix=changes.pop("prefix", "")
        ),
        "rows": rows,
        "states": states or States(),
        "looker": modules.sync.Synchroniser(source, rows, clock=clock),
        "every": 86_400,
        "clock": clock,
        "report": lambda key, error: None,
    }
    return modules.reconcile.Reconciler(**parts | changes)
