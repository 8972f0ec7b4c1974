"""Brings thumbnails and row into line with the object that is in the bucket now.

Events of S3 come twice, late and out of order, and several invocations may work on one key at once. So an
event is taken as a hint only: *look at this key*. What is done follows from the object that is found:

- it exists: its thumbnails are written, then its row;
- it is gone: thumbnails and row are deleted;
- it can never become thumbnails: the same, so that nothing of an earlier version stays; then it is reported.

After the writes the object is looked at again, and if it is another one by then, all is repeated. So whoever
writes last has also verified last, and what stays is right, in whatever order invocations overlap. One that
dies between its writes and its look is retried by Lambda, and that retry is never skipped (see below).

The row is written only if it is still as it was read, so two invocations cannot interleave unnoticed, and
its sequencer never goes back. Skipped is nothing but the exact repetition of a finished event: the row
carries its sequencer and the keys of all thumbnails that are asked for, and the event, the row and the bucket
agree on which object is the current one. Any weaker rule would in some race skip the retry of an invocation
that had put old thumbnails over new ones; ``tests/handlers`` plays such races.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from errors import ObjectTooLarge
from stores import Destination, ObjectVersion, OpenedObject, Row, Rows, Source, StoredThumbnail

from shared.failures import PermanentFailure
from shared.s3_events import ObjectEvent, later_of

if TYPE_CHECKING:
    from pictures import Thumbnails

MAX_ROUNDS = 5


class ObjectKeepsChanging(Exception):
    """The object was another one at each look. Trying again later is right."""


class Outcome(StrEnum):
    """What was done for an event."""

    MADE = "made"
    REMOVED = "removed"
    UNCHANGED = "unchanged"


class Synchroniser:
    """Handles one event at a time.

    Args:
        source: Where the pictures are.
        destination: Where the thumbnails go.
        rows: Where the metadata goes.
        make: Turns the bytes of a picture into thumbnails.
        thumbnail_keys: Names the key of each size's thumbnail, for a source key.
        max_object_size: Larger objects are not read, in bytes.
    """

    def __init__(
        self,
        *,
        source: Source,
        destination: Destination,
        rows: Rows,
        make: Callable[[bytes], "Thumbnails"],
        thumbnail_keys: Callable[[str], dict[int, str]],
        max_object_size: int,
    ) -> None:
        self._source = source
        self._destination = destination
        self._rows = rows
        self._make = make
        self._thumbnail_keys = thumbnail_keys
        self._max_object_size = max_object_size

    def handle(self, event: ObjectEvent) -> Outcome:
        """Bring everything that belongs to the event's key into line with the object that is there now.

        Raises:
            PermanentFailure: The object can never become thumbnails. Those of its predecessors are deleted.
            ObjectKeepsChanging: It was replaced again and again.
        """
        for number in range(MAX_ROUNDS):
            finished = self._try(event, may_skip=number == 0)
            if isinstance(finished, PermanentFailure):
                raise finished
            if finished:
                return finished
        raise ObjectKeepsChanging(
            f"{event.bucket}/{event.key}: another object each of the {MAX_ROUNDS} times; try again later"
        )

    def _try(self, event: ObjectEvent, *, may_skip: bool) -> Outcome | PermanentFailure | None:
        """Do all of it once; nothing is returned if somebody else got in between."""
        row = self._rows.get(event.key)
        opened = self._source.open(event.bucket, event.key)
        if may_skip and opened and row and self._is_repetition(event, row, opened.version):
            opened.close()
            return Outcome.UNCHANGED
        finished, undisturbed = self._follow(event, row, opened)
        current = self._source.look(event.bucket, event.key) if undisturbed else None
        same = (current and current.identity) == (opened and opened.version.identity)
        return finished if undisturbed and same else None

    def _is_repetition(self, event: ObjectEvent, row: Row, current: ObjectVersion) -> bool:
        return (
            row.sequencer == event.sequencer != ""
            and row.identity == current.identity == event.identity
            and {one.size: one.key for one in row.thumbnails} == self._thumbnail_keys(event.key)
        )

    def _follow(
        self, event: ObjectEvent, row: Row | None, opened: OpenedObject | None
    ) -> tuple[Outcome | PermanentFailure, bool]:
        """Do what the object asks for; say what that was, and whether nobody else wrote the row meanwhile."""
        if opened is None:
            return Outcome.REMOVED, self._remove(event, row)
        try:
            thumbnails = self._make(self._read(opened))
        except PermanentFailure as failure:
            return failure, self._remove(event, row)
        return Outcome.MADE, self._write(event, row, opened.version, thumbnails)

    def _read(self, opened: OpenedObject) -> bytes:
        size = opened.version.size_bytes
        if size > self._max_object_size:
            opened.close()
            raise ObjectTooLarge(f"{size:,} bytes; at most {self._max_object_size:,} are read")
        return opened.read()

    def _write(self, event: ObjectEvent, row: Row | None, used: ObjectVersion, made: "Thumbnails") -> bool:
        keys = self._thumbnail_keys(event.key)
        for thumbnail in made.thumbnails:
            self._destination.put(keys[thumbnail.size], thumbnail.data)
        outdated = {one.key for one in row.thumbnails} - set(keys.values()) if row else set()
        for key in outdated:  # other sizes or another format were asked for when they were made
            self._destination.delete(key)
        return self._rows.put(self._row(event, row, used, made, keys), instead_of=row)

    def _remove(self, event: ObjectEvent, row: Row | None) -> bool:
        recorded = {one.key for one in row.thumbnails} if row else set()
        # Also those without a row: an invocation may have died before it wrote one.
        for key in recorded | set(self._thumbnail_keys(event.key).values()):
            self._destination.delete(key)
        return self._rows.delete(row) if row else True

    def _row(
        self,
        event: ObjectEvent,
        row: Row | None,
        used: ObjectVersion,
        made: "Thumbnails",
        keys: dict[int, str],
    ) -> Row:
        return Row(
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
