"""Event → look at the object → write thumbnails and row → look again: the bucket decides, not the event.

S3 delivers events twice, late and out of order, and several invocations may work on one key at once. So an
event only says *look at this key*. What the function does depends on the object that it finds:

- an object: it writes the thumbnails, then the row;
- no object: it deletes thumbnails and row;
- an object that can never become thumbnails: it deletes them too, so that nothing of an earlier version is
  left, and reports the failure.

An object that is archived, or whose key is disabled, cannot be read: its thumbnails stay if they were made
from that very object before, and are deleted if they show an earlier one. The event of a completed restore
brings them back.

After its writes, the function looks at the object again, and starts over if it is another one by then. So the
invocation that writes last has also looked last, and the result is right however invocations overlap. If an
invocation dies between its writes and its second look, Lambda retries it, and that retry is never skipped.

The row is written only if it is still the one that was read, so two invocations cannot overwrite each other
unnoticed, and its sequencer never goes back. Only the exact repetition of a finished event is skipped: the
row has its sequencer and the keys of all thumbnails that are wanted, and event, row and bucket agree on the
current object. With any weaker rule, some race would skip the retry of an invocation that wrote old
thumbnails over new ones (``tests/handlers/storage/thumbnailer/test_races.py`` runs such races).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

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
    WrongTable,
)

if TYPE_CHECKING:
    from .pictures import Thumbnails

MAX_ROUNDS = 5

Outcome = Literal["made", "removed", "unchanged"]


class WouldRecurse(PermanentFailure):
    """The object is where thumbnails are written: each thumbnail would raise another event."""


class ObjectTooLarge(PermanentFailure):
    """The object exceeds the size limit."""


class ObjectKeepsChanging(Exception):
    """The object was replaced during each round. A later attempt may succeed."""


@dataclass(kw_only=True)
class Synchroniser:
    """Keeps thumbnails and rows in line with the pictures in a bucket.

    Args:
        settings: Which thumbnails are wanted.
        source: The pictures.
        destination: The thumbnails.
        table: The rows.
    """

    settings: Settings
    source: SourceBucket
    destination: DestinationBucket
    table: MetadataTable

    def follow(self, event: ObjectEvent) -> Outcome:
        """Bring thumbnails and row of the event's key into line with the object that is there now.

        Raises:
            PermanentFailure: The object can never become thumbnails. Those of earlier versions are deleted.
            ObjectKeepsChanging: The object was replaced again and again.
        """
        self._refuse_recursion(event)
        for number in range(MAX_ROUNDS):
            row = self.table.get(event.key)
            found = self.source.open(event.bucket, event.key)
            if row and row.source_bucket not in ("", event.bucket):
                raise WrongTable(
                    f"the row of {event.key!r} is about the bucket {row.source_bucket}; give each bucket a "
                    "table and a place for thumbnails of its own, or delete the rows of a bucket that is gone"
                )
            if number == 0 and found and row and self._is_up_to_date(event, row, found):
                found.close()
                return "unchanged"

            made, failure = None, None
            if found is not None:
                try:
                    made = self._make(found)
                except PermanentFailure as error:
                    failure = error
            if found is not None and made is not None:
                row_was_ours = self._write(event, row, found.version, made)
            else:
                row_was_ours = self._remove(event.key, row)

            if row_was_ours and self._is_still_there(event, found):
                if failure is not None:
                    raise failure
                return "made" if made else "removed"
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

    def _is_up_to_date(self, event: ObjectEvent, row: Row, found: OpenedObject) -> bool:
        current = found.version
        if found.failure is not None:
            return row.identity == current.identity
        return (
            row.sequencer == event.sequencer != ""
            and row.identity == current.identity == event.identity
            and {one["size"]: one["key"] for one in row.thumbnails} == self._keys(event.key)
        )

    def _is_still_there(self, event: ObjectEvent, found: OpenedObject | None) -> bool:
        current = self.source.look(event.bucket, event.key)
        expected = found.version if found else None
        if current is None or expected is None:
            return current is expected
        return (current.identity, current.is_archived) == (expected.identity, expected.is_archived)

    def _make(self, found: OpenedObject) -> "Thumbnails":
        size, limit = found.version.size_bytes, self.settings.max_object_size
        if size > limit:
            found.close()
            raise ObjectTooLarge(f"{size:,} bytes; at most {limit:,} are read")
        return self.make_thumbnails(found.read())

    def make_thumbnails(self, data: bytes) -> "Thumbnails":
        """Make the thumbnails of a picture.

        Raises:
            PermanentFailure: It cannot be decoded.
        """
        # Imported with the first picture: deletions and repeated events do not need Pillow.
        from .pictures import make_thumbnails

        return make_thumbnails(data, self.settings)

    def _write(self, event: ObjectEvent, row: Row | None, used: ObjectVersion, made: "Thumbnails") -> bool:
        """Write thumbnails, then the row; return whether no other invocation changed the row meanwhile."""
        keys = self._keys(event.key)
        for thumbnail in made.thumbnails:
            self.destination.put(keys[thumbnail.size], thumbnail.data)
        outdated = {one["key"] for one in row.thumbnails} - set(keys.values()) if row else set()
        for key in outdated:  # made when other sizes or another format were wanted
            self.destination.delete(key)
        new = Row(
            source_key=event.key,
            version_id=used.version_id,
            etag=used.etag,
            sequencer=later_of(event.sequencer, row.sequencer) if row else event.sequencer,
            width=made.width,
            height=made.height,
            format=made.format.value,
            size_bytes=used.size_bytes,
            thumbnails=[
                {
                    "size": one.size,
                    "key": keys[one.size],
                    "width": one.width,
                    "height": one.height,
                    "bytes": len(one.data),
                }
                for one in made.thumbnails
            ],
            source_last_modified=used.last_modified.astimezone(UTC).isoformat() if used.last_modified else "",
            made_at=datetime.now(UTC).isoformat(),
            source_bucket=event.bucket,
        )
        return self.table.put(new, instead_of=row)

    def _remove(self, source_key: str, row: Row | None) -> bool:
        """Delete thumbnails, then the row; return whether no other invocation changed the row meanwhile."""
        recorded = {one["key"] for one in row.thumbnails} if row else set()
        # Also those without a row: an invocation may have died before it wrote one.
        for key in recorded | set(self._keys(source_key).values()):
            self.destination.delete(key)
        return self.table.delete(row) if row else True
