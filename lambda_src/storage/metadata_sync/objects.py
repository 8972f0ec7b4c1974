"""What is known of an object and of its row, and what the work needs from outside, as plain calls."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """The current object under a key, as S3 describes it. Texts and maps are empty where S3 says nothing.

    Args:
        version_id: Of the current version; ``"null"`` or empty where the bucket has no versioning.
        size: In bytes.
        etag: Without quotation marks.
        last_modified: In UTC, to the second: ``2026-01-31T12:00:00Z``.
        checksum: Algorithm and value: ``CRC64NVME:…``.
        storage_class: ``STANDARD`` where S3 leaves it out.
        content_type: As the writer gave it.
        restore: ``"ongoing"`` while a copy is being restored from an archive.
        restored_until: When the restored copy goes, in UTC.
        replication_status: ``PENDING``, ``COMPLETED``, ``FAILED`` or ``REPLICA``.
        metadata: User-defined metadata, if it is asked for.
        tags: Likewise.
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


class Row(NamedTuple):
    """What the table says of a key.

    Args:
        object: The object; nothing in a tombstone.
        sequencer: The latest of the events that wrote the row, as an order key; empty if none did.
        revision: Counts the writes of the row.
        looked_at: When it was last written without a sequencer, in seconds since 1970; 0 for never.
    """

    object: StoredObject | None
    sequencer: str
    revision: int
    looked_at: int


class Cause(NamedTuple):
    """Why a row is written.

    Args:
        name: Of the event, such as ``ObjectCreated:Put``.
        time: When that happened, as S3 says.
    """

    name: str
    time: str


class Listed(NamedTuple):
    """An object as a listing or an inventory describes it; an inventory says nothing of restored copies."""

    key: str
    size: int
    etag: str
    last_modified: str
    storage_class: str
    restore: str | None = None
    restored_until: str | None = None

    def describes(self, stored: StoredObject | None) -> bool:
        """Whether a row says the same, as far as a listing says anything."""
        return stored is not None and all(
            value in (None, getattr(stored, name)) for name, value in self._asdict().items() if name != "key"
        )


class Source(Protocol):
    """The bucket."""

    def look(self, key: str) -> StoredObject | None:
        """Return the object that is there now."""

    def walk(self, *, after: str, prefix: str) -> Iterator[Listed]:
        """Return all objects with later keys, in the order of the bytes of their keys."""


class Rows(Protocol):
    """The table, as far as it is about one bucket."""

    def read(self, key: str) -> Row | None:
        """Return the row as it is now."""

    def write_newer(
        self, key: str, seen: StoredObject | None, *, sequencer: str, cause: Cause
    ) -> tuple[bool, Row | None]:
        """Write a row unless it has this sequencer or a later one.

        Returns:
            Whether it was written, and the row as it is then, if that is known.
        """

    def write_instead(
        self, key: str, seen: StoredObject | None, *, instead_of: Row | None, cause: Cause
    ) -> bool:
        """Write a row if it is still the one that was read; its sequencer stays. Say whether that was so."""

    def walk(self, *, after: str, prefix: str) -> Iterator[tuple[str, Row]]:
        """Return all rows with later keys, in the order of the bytes of their keys."""

    def remove_expired(self) -> None:
        """Remove tombstones whose time is over, where the table does not do so by itself."""


class States(Protocol):
    """Where the reconciler keeps how far it is."""

    def load(self) -> tuple[str, int]:
        """Return what was saved last and its revision; nothing and 0 at first."""

    def save(self, state: str, revision: int) -> bool:
        """Save it if nobody else has since that revision; say whether that was so."""
