"""What the work needs from outside, as plain calls: where pictures are, where thumbnails and metadata go."""

from datetime import datetime
from typing import NamedTuple, Protocol


class ObjectVersion(NamedTuple):
    """Which object lies under a key.

    Args:
        version_id: Of the version; ``"null"`` or empty where the bucket has no versioning.
        etag: Of its content.
        size_bytes: How large it is.
        last_modified: When it was written.
    """

    version_id: str
    etag: str
    size_bytes: int
    last_modified: datetime

    @property
    def identity(self) -> tuple[str, str]:
        """What tells it from any other object that was or will be under the key."""
        return self.version_id, self.etag


class OpenedObject(Protocol):
    """An object whose bytes have not been read yet."""

    version: ObjectVersion

    def read(self) -> bytes:
        """Return all of its bytes."""

    def close(self) -> None:
        """Do without its bytes, or without the rest of them."""


class StoredThumbnail(NamedTuple):
    """What a row says of a thumbnail: the size that was asked for, where it lies, and how large it is."""

    size: int
    key: str
    width: int
    height: int
    bytes: int


class Row(NamedTuple):
    """The metadata of a picture."""

    source_key: str
    version_id: str
    etag: str
    sequencer: str
    width: int
    height: int
    format: str
    size_bytes: int
    thumbnails: tuple[StoredThumbnail, ...]
    source_last_modified: str
    made_at: str

    @property
    def identity(self) -> tuple[str, str]:
        """The identity of the object that it is about."""
        return self.version_id, self.etag


class Source(Protocol):
    """Where the pictures are."""

    def open(self, bucket: str, key: str) -> OpenedObject | None:
        """Return the object that is there now, if there is one."""

    def look(self, bucket: str, key: str) -> ObjectVersion | None:
        """Say which object is there now, if there is one."""


class Destination(Protocol):
    """Where the thumbnails go."""

    def put(self, key: str, data: bytes) -> None:
        """Write a thumbnail."""

    def delete(self, key: str) -> None:
        """Delete a thumbnail, if it is there."""


class Rows(Protocol):
    """Where the metadata goes."""

    def get(self, source_key: str) -> Row | None:
        """Return the row as it is now."""

    def put(self, row: Row, *, instead_of: Row | None) -> bool:
        """Write a row if nobody else has written it since; say whether that was so."""

    def delete(self, row: Row) -> bool:
        """Delete a row if nobody else has written it since; say whether that was so."""
