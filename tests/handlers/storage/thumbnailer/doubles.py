"""S3 and DynamoDB in memory for one key; a test can act before every step that reaches a service."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from shared.s3_events import ObjectEvent
from storage.thumbnailer.decoders import Format
from storage.thumbnailer.decoders.errors import NotAnImage
from storage.thumbnailer.pictures import Thumbnail, Thumbnails
from storage.thumbnailer.settings import Settings
from storage.thumbnailer.stores import ObjectVersion, Row
from storage.thumbnailer.synchroniser import Synchroniser
from tests.handlers.storage.thumbnailer.world import ENVIRONMENT

KEY = "cat.png"
KEYS = {64: "cat.png/64.webp", 128: "cat.png/128.webp"}
SETTINGS = Settings.from_environment(ENVIRONMENT)._replace(max_object_size=100)
BAD = b"bad"
GONE = b"delete marker"


@dataclass
class Store:
    """The object, the thumbnails and the row of one key.

    ``before_step`` is called before every call that would reach a service.
    """

    before_step: Callable[[str], None] = lambda _: None
    versions: list[tuple[str, bytes]] = field(default_factory=list)
    thumbnails: dict[str, bytes] = field(default_factory=dict)
    row: Row | None = None
    happened: int = 0

    # What users do; each returns the event that S3 sends about it

    def write(self, data: bytes) -> ObjectEvent:
        """Write an object."""
        self.versions.append((f"v{self.happened}", data))
        return self._event("ObjectCreated:Put", self.versions[-1][0])

    def remove(self) -> ObjectEvent:
        """Put a delete marker on top of all versions."""
        self.versions.append((f"v{self.happened}", GONE))
        return self._event("ObjectRemoved:DeleteMarkerCreated", self.versions[-1][0])

    def uncover(self) -> ObjectEvent:
        """Delete the newest version permanently: the one before it is current again."""
        version, _ = self.versions.pop()
        return self._event("ObjectRemoved:Delete", version)

    def _event(self, name: str, version: str) -> ObjectEvent:
        self.happened += 1
        return ObjectEvent("pictures", KEY, name, f"{self.happened:04X}", version_id=version, etag=version)

    @property
    def current(self) -> tuple[str, bytes] | None:
        """Version and bytes of the current object."""
        return self.versions[-1] if self.versions and self.versions[-1][1] != GONE else None

    # The source bucket

    def open(self, bucket: str, key: str) -> "Opened | None":
        """Open the current object."""
        self.before_step("open")
        version = self.look_now()
        return Opened(version, self.current[1], self.before_step) if self.current and version else None

    def look(self, bucket: str, key: str) -> ObjectVersion | None:
        """Return which object is there."""
        self.before_step("look")
        return self.look_now()

    def look_now(self) -> ObjectVersion | None:
        """Likewise, but not as a step of the function."""
        if self.current is None:
            return None
        name, data = self.current
        return ObjectVersion(
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

    # The invariant

    def check(self) -> None:
        """Check that thumbnails and row are those of the current object."""
        if self.current is None or self.current[1] == BAD:
            assert (self.thumbnails, self.row) == ({}, None)
            return
        version, data = self.current
        assert self.thumbnails == dict.fromkeys(KEYS.values(), data)
        assert self.row is not None
        assert self.row.version_id == version
        assert {one["size"]: one["key"] for one in self.row.thumbnails} == KEYS


@dataclass
class Table:
    """The row, with the conditions of the writes to DynamoDB."""

    store: Store

    def get(self, source_key: str) -> Row | None:
        """Read the row."""
        self.store.before_step("get row")
        return self.store.row

    def put(self, row: Row, *, instead_of: Row | None) -> bool:
        """Write the row if it is the one that was read."""
        self.store.before_step("put row")
        if self.store.row != instead_of:
            return False
        if self.store.row is not None:
            assert row.sequencer >= self.store.row.sequencer, "the sequencer went back"
        self.store.row = row
        return True

    def delete(self, row: Row) -> bool:
        """Delete the row if it is the one that was read."""
        self.store.before_step("delete row")
        if self.store.row != row:
            return False
        self.store.row = None
        return True


@dataclass
class Opened:
    """An object that was opened."""

    version: ObjectVersion
    data: bytes
    before_step: Callable[[str], None]
    closed: bool = False
    failure: None = None

    def read(self) -> bytes:
        """Read its bytes."""
        self.before_step("read")
        return self.data

    def close(self) -> None:
        """Close the object without reading it."""
        self.closed = True


class QuickSynchroniser(Synchroniser):
    """Takes the bytes of an object for its thumbnails."""

    def make_thumbnails(self, data: bytes) -> Thumbnails:
        """Make thumbnails of everything but BAD."""
        if data == BAD:
            raise NotAnImage("no picture")
        thumbnails = tuple(Thumbnail(size, size, size, data) for size in self.settings.sizes)
        return Thumbnails(200, 200, Format.PNG, thumbnails)


def synchroniser(store: Store, settings: Settings = SETTINGS, **changes: Any) -> Synchroniser:
    """A synchroniser around a store, some of its parts replaced."""
    parts: dict[str, Any] = {"source": store, "destination": store, "table": Table(store)}
    return QuickSynchroniser(settings=settings, **parts | changes)
