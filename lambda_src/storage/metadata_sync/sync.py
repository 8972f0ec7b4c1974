"""Event → look at the object that is in the bucket now → conditional write of its row.

S3 events arrive twice, late and out of order. So an event is only a hint to look at a key, and a row never
contains what the event says, but what a look *after* the event saw. Deletions are looked at as well: deleting
a version or a delete marker can bring back an older version. Four rules make the row right in the end;
``docs/storage/metadata-sync.md`` has the proof.

1. **The sequencer guard.** An event with a sequencer is written in one statement, and only over an older
   sequencer.
2. **Compare and swap.** What has no sequencer (events about tags, restored copies, storage classes and
   replication; the reconciler) reads the row, looks, and writes only if the row has not changed since. The
   write does not change the sequencer and sets the mark ``looked_at``.
3. **The second look.** A write by rule 1 that finds a recent mark looks once more and, if it sees something
   else, writes by rule 2: its own look may have been before the change that the marked write saw.
4. **Repeats.** An event that rule 1 refuses changes nothing, unless the row differs from what was seen or has
   a recent mark: then it does what rule 3 says. So an invocation that died before its second look makes up
   for it when Lambda tries it again.
"""

import time
from collections.abc import Callable
from enum import StrEnum

from shared.s3_events import ObjectEvent, order_key

from .objects import Cause, Row, Source, StoredObject, Table

MAX_ROUNDS = 8

# An invocation lasts at most 15 minutes; the other five are for clocks that differ.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
MARK_SECONDS = 20 * 60


class RowKeepsChanging(Exception):
    """Others wrote the row between each look and each write. A later attempt will succeed."""


class Outcome(StrEnum):
    """What was done for an event."""

    WRITTEN = "written"
    DELETED = "deleted"
    UNCHANGED = "unchanged"


class Synchroniser:
    """Brings the row of one key at a time up to date with the bucket.

    Args:
        source: The bucket.
        table: The table.
        clock: Returns the time in seconds since 1970; tests replace it.
    """

    def __init__(self, source: Source, table: Table, *, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._table = table
        self._clock = clock

    def handle(self, event: ObjectEvent) -> Outcome:
        """Bring the row of the event's key up to date.

        Raises:
            RowKeepsChanging: Others wrote the row again and again.
        """
        cause = Cause(event.name, event.time)
        if not event.is_ordered:
            return self.refresh(event.key, self._table.read(event.key), cause=cause, mark=True)
        seen = self._source.look(event.key)
        written, row = self._table.write_newer(
            event.key, seen, sequencer=order_key(event.sequencer), cause=cause
        )
        if row and not self._has_recent_mark(row):
            if written:
                return _outcome(seen)
            if row.object == seen:
                return Outcome.UNCHANGED
        refreshed = self.refresh(event.key, row or self._table.read(event.key), cause=cause)
        return _outcome(seen) if written and refreshed is Outcome.UNCHANGED else refreshed

    def refresh(self, key: str, row: Row | None, *, cause: Cause, mark: bool = False) -> Outcome:
        """Look, and write what is there without a sequencer.

        Args:
            key: The key.
            row: The row, read before this call.
            cause: The event that the row is written for.
            mark: Write even a row that is right already, so that others who looked too early see the mark.

        Raises:
            RowKeepsChanging: Others wrote the row again and again.
        """
        for _ in range(MAX_ROUNDS):
            seen = self._source.look(key)
            # Without an object there is no change that another look could have missed: no mark.
            if (row.object if row else None) == seen and (seen is None or not mark):
                return Outcome.UNCHANGED
            if self._table.write_instead(key, seen, instead_of=row, cause=cause):
                return _outcome(seen)
            row = self._table.read(key)
        raise RowKeepsChanging(f"{key}: the row changed during each of {MAX_ROUNDS} attempts to write it")

    def _has_recent_mark(self, row: Row) -> bool:
        return row.looked_at > self._clock() - MARK_SECONDS


def _outcome(seen: StoredObject | None) -> Outcome:
    return Outcome.WRITTEN if seen else Outcome.DELETED
