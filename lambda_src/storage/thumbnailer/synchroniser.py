"""Event → look at the object → write thumbnails and row → look again: the bucket decides, not the event.

S3 delivers events twice, late and out of order, and several invocations may work on one key at once. So an
event only says *look at this key*. What the function does depends on the object that it finds:

- an object: it writes the thumbnails, then the row;
- no object: it deletes thumbnails and row;
- an object that can never become thumbnails: it deletes them too, so that nothing of an earlier version is
  left, and reports the failure.

After its writes, the function looks at the object again, and starts over if it is another one by then. So the
invocation that writes last has also looked last, and the result is right however invocations overlap. If an
invocation dies between its writes and its second look, Lambda retries it, and that retry is never skipped.

The row is written only if it is still the one that was read, so two invocations cannot overwrite each other
unnoticed, and its sequencer never goes back. Only the exact repetition of a finished event is skipped: the
row has its sequencer and the keys of all thumbnails that are wanted, and event, row and bucket agree on the
current object. With any weaker rule, some race would skip the retry of an invocation that wrote old
thumbnails over new ones (``tests/handlers/storage/thumbnailer/test_races.py`` runs such races).
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from shared.failures import PermanentFailure
from shared.s3_events import ObjectEvent, later_of

from .keys import thumbnail_key
from .settings import Settings
from .stores import (
    DestinationBucket,
    MetadataTable,
    ObjectVersion,
    OpenedObject,
    Row,
    SourceBucket,
    StoredThumbnail,
)

if TYPE_CHECKING:
    from .pictures import Thumbnails

MAX_ROUNDS = 5


class WouldRecurse(PermanentFailure):
    """The object is where thumbnails are written: each thumbnail would raise another event."""


class ObjectTooLarge(PermanentFailure):
    """The object exceeds the size limit."""


class ObjectKeepsChanging(Exception):
    """The object was replaced during each round. A later attempt may succeed."""


class Outcome(StrEnum):
    """What an event led to."""

    MADE = "made"
    REMOVED = "removed"
    UNCHANGED = "unchanged"


class Synchroniser:
    """Keeps thumbnails and rows in line with the pictures in a bucket.

    Args:
        settings: Which thumbnails are wanted.
        source: The pictures.
        destination: The thumbnails.
        table: The rows.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        source: SourceBucket,
        destination: DestinationBucket,
        table: MetadataTable,
    ) -> None:
        self.settings = settings
        self._source = source
        self._destination = destination
        self._table = table

    def follow(self, event: ObjectEvent) -> Outcome:
        """Bring thumbnails and row of the event's key into line with the object that is there now.

        Raises:
            PermanentFailure: The object can never become thumbnails. Those of earlier versions are deleted.
            ObjectKeepsChanging: The object was replaced again and again.
        """
        self._refuse_recursion(event)
        for number in range(MAX_ROUNDS):
            row = self._table.get(event.key)
            found = self._source.open(event.bucket, event.key)
            if number == 0 and found and row and self._is_repetition(event, row, found.version):
                found.close()
                return Outcome.UNCHANGED

            made = self._make(found)
            if found is None or made is None or isinstance(made, PermanentFailure):
                row_was_ours = self._remove(event.key, row)
            else:
                row_was_ours = self._write(event, row, found.version, made)

            if row_was_ours and self._is_still_there(event, found):
                if isinstance(made, PermanentFailure):
                    raise made
                return Outcome.MADE if made else Outcome.REMOVED
        raise ObjectKeepsChanging(
            f"{event.bucket}/{event.key}: replaced during each of {MAX_ROUNDS} rounds; try again later"
        )

    def _refuse_recursion(self, event: ObjectEvent) -> None:
        """Never make thumbnails of thumbnails, however the bucket's notifications are configured."""
        bucket, prefix = self.settings.destination_bucket, self.settings.output_prefix
        if event.bucket == bucket and event.key.startswith(prefix):
            raise WouldRecurse(
                f"the object is where thumbnails are written ({bucket}/{prefix}); "
                "exclude this prefix from the bucket's event notification"
            )

    def _keys(self, source_key: str) -> dict[int, str]:
        """Return the keys of the thumbnails that are wanted, by size."""
        prefix, extension = self.settings.output_prefix, self.settings.extension
        return {
            size: thumbnail_key(source_key, size, prefix=prefix, extension=extension)
            for size in self.settings.sizes
        }

    def _is_repetition(self, event: ObjectEvent, row: Row, current: ObjectVersion) -> bool:
        return (
            row.sequencer == event.sequencer != ""
            and row.identity == current.identity == event.identity
            and {one.size: one.key for one in row.thumbnails} == self._keys(event.key)
        )

    def _is_still_there(self, event: ObjectEvent, found: OpenedObject | None) -> bool:
        current = self._source.look(event.bucket, event.key)
        return (current and current.identity) == (found and found.version.identity)

    def _make(self, found: OpenedObject | None) -> "Thumbnails | PermanentFailure | None":
        """Return the thumbnails of an object, or why there can be none; None if there is no object."""
        if found is None:
            return None
        size, limit = found.version.size_bytes, self.settings.max_object_size
        if size > limit:
            found.close()
            return ObjectTooLarge(f"{size:,} bytes; at most {limit:,} are read")
        try:
            return self.make_thumbnails(found.read())
        except PermanentFailure as failure:
            return failure

    def make_thumbnails(self, data: bytes) -> "Thumbnails":
        """Make the thumbnails of a picture.

        Raises:
            PermanentFailure: It cannot be decoded.
        """
        # Imported with the first picture: deletions and repeated events do not need Pillow.
        from .pictures import make_thumbnails

        return make_thumbnails(
            data,
            sizes=self.settings.sizes,
            format=self.settings.output_format,
            quality=self.settings.quality,
            background=self.settings.background,
            max_pixels=self.settings.max_pixels,
        )

    def _write(self, event: ObjectEvent, row: Row | None, used: ObjectVersion, made: "Thumbnails") -> bool:
        """Write thumbnails, then the row; return whether no other invocation changed the row meanwhile."""
        keys = self._keys(event.key)
        for thumbnail in made.thumbnails:
            self._destination.put(keys[thumbnail.size], thumbnail.data)
        outdated = {one.key for one in row.thumbnails} - set(keys.values()) if row else set()
        for key in outdated:  # made when other sizes or another format were wanted
            self._destination.delete(key)
        new = Row(
            source_key=event.key,
            version_id=used.version_id,
            etag=used.etag,
            sequencer=later_of(event.sequencer, row.sequencer) if row else event.sequencer,
            width=made.width,
            height=made.height,
            format=made.format.value,
            size_bytes=used.size_bytes,
            thumbnails=tuple(
                StoredThumbnail(one.size, keys[one.size], one.width, one.height, len(one.data))
                for one in made.thumbnails
            ),
            source_last_modified=used.last_modified.astimezone(UTC).isoformat(),
            made_at=datetime.now(UTC).isoformat(),
        )
        return self._table.put(new, instead_of=row)

    def _remove(self, source_key: str, row: Row | None) -> bool:
        """Delete thumbnails, then the row; return whether no other invocation changed the row meanwhile."""
        recorded = {one.key for one in row.thumbnails} if row else set()
        # Also those without a row: an invocation may have died before it wrote one.
        for key in recorded | set(self._keys(source_key).values()):
            self._destination.delete(key)
        return self._table.delete(row) if row else True
