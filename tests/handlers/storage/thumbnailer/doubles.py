"""S3 and DynamoDB in memory, as far as one key is concerned, with a door before every step."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.handlers.loading import LoadedHandler

KEY = "cat.png"
KEYS = {64: "cat.png/64.webp", 128: "cat.png/128.webp"}
BAD = b"bad"
GONE = b"delete marker"


@dataclass
class Store:
    """The bucket, the thumbnails and the table in one, as far as one key is concerned.

    ``before_step`` is called before everything that reaches a service: there other things may happen.
    """

    modules: LoadedHandler
    before_step: Callable[[str], None] = lambda _: None
    versions: list[tuple[str, bytes]] = field(default_factory=list)
    thumbnails: dict[str, bytes] = field(default_factory=dict)
    row: Any = None
    happened: int = 0

    # What users do; each returns the event that S3 sends about it

    def write(self, data: bytes) -> Any:
        """Write an object."""
        self.versions.append((f"v{self.happened}", data))
        return self._event("ObjectCreated:Put", self.versions[-1][0])

    def remove(self) -> Any:
        """Put a delete marker on top of all versions."""
        self.versions.append((f"v{self.happened}", GONE))
        return self._event("ObjectRemoved:DeleteMarkerCreated", self.versions[-1][0])

    def uncover(self) -> Any:
        """Delete the newest version for good: what was there before is current again."""
        version, _ = self.versions.pop()
        return self._event("ObjectRemoved:Delete", version)

    def _event(self, name: str, version: str) -> Any:
        self.happened += 1
        return self.modules.shared.s3_events.ObjectEvent(
            "pictures", KEY, name, f"{self.happened:04X}", version_id=version, etag=version
        )

    @property
    def current(self) -> tuple[str, bytes] | None:
        """Version and bytes of the object that is there."""
        return self.versions[-1] if self.versions and self.versions[-1][1] != GONE else None

    # The source bucket

    def open(self, bucket: str, key: str) -> "Opened | None":
        """Open the object that is there."""
        self.before_step("open")
        version = self.look_now()
        return Opened(version, self.current[1], self.before_step) if self.current and version else None

    def look(self, bucket: str, key: str) -> Any:
        """Say which object is there."""
        self.before_step("look")
        return self.look_now()

    def look_now(self) -> Any:
        """Likewise, as no step."""
        if self.current is None:
            return None
        name, data = self.current
        return self.modules.stores.ObjectVersion(
            version_id=name, etag=name, size_bytes=len(data), last_modified=datetime(2026, 1, 1, tzinfo=UTC)
        )

    # The destination bucket

    def put(self, key: str, data: bytes) -> None:
        """Write a thumbnail."""
        self.before_step(f"put {key}")
        self.thumbnails[key] = data

    def delete(self, key: str) -> None:
        """Delete a thumbnail."""
        self.before_step(f"delete {key}")
        self.thumbnails.pop(key, None)

    # What the invariant is about

    def check(self) -> None:
        """Thumbnails and row are those of the object that is there."""
        if self.current is None or self.current[1] == BAD:
            assert (self.thumbnails, self.row) == ({}, None)
            return
        version, data = self.current
        assert self.thumbnails == dict.fromkeys(KEYS.values(), data)
        assert self.row is not None
        assert self.row.version_id == version
        assert {one.size: one.key for one in self.row.thumbnails} == KEYS


@dataclass
class Table:
    """The row, guarded as DynamoDB's condition guards it."""

    store: Store

    def get(self, source_key: str) -> Any:
        """Read the row."""
        self.store.before_step("get row")
        return self.store.row

    def put(self, row: Any, *, instead_of: Any) -> bool:
        """Write the row if it is the one that was read."""
        self.store.before_step("put row")
        if self.store.row != instead_of:
            return False
        if self.store.row is not None:
            assert row.sequencer >= self.store.row.sequencer, "the sequencer went back"
        self.store.row = row
        return True

    def delete(self, row: Any) -> bool:
        """Delete the row if it is the one that was read."""
        self.store.before_step("delete row")
        if self.store.row != row:
            return False
        self.store.row = None
        return True


@dataclass
class Opened:
    """An object that was opened."""

    version: Any
    data: bytes
    before_step: Callable[[str], None]
    closed: bool = False

    def read(self) -> bytes:
        """Read its bytes."""
        self.before_step("read")
        return self.data

    def close(self) -> None:
        """Do without them."""
        self.closed = True


def synchroniser(modules: LoadedHandler, store: Store, **changes: Any) -> Any:
    """A synchroniser around a store, some of its parts replaced."""

    def make(data: bytes) -> Any:
        if data == BAD:
            raise modules.errors.NotAnImage("no picture")
        pictures = modules.pictures
        thumbnails = tuple(pictures.Thumbnail(size, size, size, data) for size in KEYS)
        return pictures.Thumbnails(200, 200, modules.formats.Format.PNG, thumbnails)

    parts: dict[str, Any] = {
        "source": store,
        "destination": store,
        "rows": Table(store),
        "make": make,
        "thumbnail_keys": lambda _: KEYS,
        "max_object_size": 100,
    }
    return modules.sync.Synchroniser(**parts | changes)
