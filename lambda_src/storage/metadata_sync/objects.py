"""An object in the bucket, its row in the table, and the calls that the work needs of both."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from shared.failures import PermanentFailure


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """The current object of a key, as S3 describes it. Strings and maps are empty if S3 sends nothing.

    Args:
        version_id: The current version; ``"null"`` or empty in a bucket without versioning.
        size: Size in bytes.
        etag: The ETag, without quotation marks.
        last_modified: In UTC, to the second: ``2026-01-31T12:00:00Z``.
        checksum: Algorithm and value: ``CRC64NVME:…``.
        storage_class: ``STANDARD`` if S3 leaves it out.
        content_type: The media type, as the writer gave it.
        restore: ``"ongoing"`` while a copy is being restored from an archive.
        restored_until: When the restored copy expires, in UTC.
        replication_status: ``PENDING``, ``COMPLETED``, ``FAILED`` or ``REPLICA``.
        metadata: The user-defined metadata, if it is stored.
        tags: The tags, if they are stored.
    """

    version_id: str = ""
    size: int
    etag: str
    last_modified: str
    checksum: str = ""
    storage_class: str = "STANDARD"
    content_type: str = ""
    restore: str = ""
    restored_until: str = ""
    replication_status: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


class Listed(NamedTuple):
    """An object as a listing of the bucket describes it."""

    key: str
    size: int
    etag: str
    last_modified: str
    storage_class: str
    restore: str = ""
    restored_until: str = ""

    def describes(self, stored: StoredObject | None) -> bool:
        """Whether a row agrees with the listing in everything that a listing contains."""
        return stored is not None and all(
            getattr(stored, name) == value for name, value in self._asdict().items() if name != "key"
        )


class Row(NamedTuple):
    """The row of a key.

    Args:
        object: The object; ``None`` in a tombstone, the row of a deleted object.
        sequencer: The latest sequencer that wrote the row, as an order key; empty if none did.
        revision: How often the row has been written.
        looked_at: When it was last written without a sequencer, in seconds since 1970; 0 for never.
    """

    object: StoredObject | None
    sequencer: str
    revision: int
    looked_at: int


class Cause(NamedTuple):
    """The event that a row is written for.

    Args:
        name: Its name, such as ``ObjectCreated:Put``.
        time: When it happened, as S3 sends it.
    """

    name: str
    time: str


class Unstorable(PermanentFailure):
    """The table cannot store the key, or something else of the row."""


class WrongTable(PermanentFailure):
    """The table has other keys."""


class Source(Protocol):
    """The bucket."""

    def look(self, key: str) -> StoredObject | None:
        """Return the current object of a key, or ``None`` if there is none."""

    def walk(self, *, after: str, prefix: str) -> Iterator[Listed]:
        """Return all objects with later keys, in the order of the UTF-8 of their keys."""


class Table(Protocol):
    """The rows of one bucket, and the state of its reconciler."""

    def read(self, key: str) -> Row | None:
        """Return the current row."""

    def write_newer(
        self, key: str, seen: StoredObject | None, *, sequencer: str, cause: Cause
    ) -> tuple[bool, Row | None]:
        """Write a row unless it has this sequencer or a later one.

        Returns:
            Whether it was written, and the row afterwards, if that is known.
        """

    def write_instead(
        self, key: str, seen: StoredObject | None, *, instead_of: Row | None, cause: Cause
    ) -> bool:
        """Write a row if nothing has written it since it was read; keep its sequencer.

        Returns:
            Whether it was written.
        """

    def walk(self, *, after: str, prefix: str) -> Iterator[tuple[str, Row]]:
        """Return all rows with later keys, in the order of the UTF-8 of their keys."""

    def remove_expired(self) -> None:
        """Remove expired tombstones, if the table does not do that by itself."""

    def load_state(self) -> tuple[str, int]:
        """Return the state that was saved last, and its revision; at first an empty string and 0."""

    def save_state(self, state: str, revision: int) -> bool:
        """Save the state if it still has this revision.

        Returns:
            Whether it was saved.
        """
