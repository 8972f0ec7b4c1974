"""Brings the row of a key into line with the object that is in the bucket now.

Events of S3 come twice, late and out of order. So an event is taken as a hint only: *look at this key*. What
is written is never what the event says, but what a look at the object says that was made after the event.
Deletions are looked at as well: deleting a version or a delete marker may bring an older version back.

1. An event with a sequencer is written in one statement: only over an older sequencer. Whoever writes last
   then has the latest sequencer, and looked after the last of the writes and deletions.
2. What has no sequencer (tags, restored copies, storage classes, replication, the reconciler) reads the row,
   looks, and writes only if the row is still the one that was read. The write leaves the sequencer alone,
   and sets ``looked_at``.
3. These two can meet. An event with a sequencer may have looked *before* new tags were there, and write
   *after* they were written: it cannot know, for it never read the row. But the row says that there was a
   look without a sequencer, and when. If that was so recently that an invocation of then can still be
   running, it looks once more, and writes (as in 2) if it sees something else. The mark stays in the row,
   for others may be under way that looked too early.
4. A sequencer that is not newer changes nothing, unless the row is not what was seen or has the mark: then
   the same is done. So an invocation that died after its write, and owed its second look, pays when Lambda
   tries it again; and so does one whose write was done, but refused when its client sent it once more.

Why the row is right in the end. Take the last write of the row, and suppose that something happened to the
object after the look that it stems from. The event of that was handled, with a look of its own, after it. If
it has a sequencer, its sequencer is later than that of the last write, which was therefore refused, or came
first and was seen to differ (1, 4). If it has none, it wrote the row, and the last write, coming later, was
either refused for the row had changed (2), or found the mark and looked again (3). Either way there was a
later write. What is left are events that never came: the reconciler is for those.

It would not do to look again only where the replaced row was about the same object: of three writers the
middle one may be about another (``tests/handlers`` plays that race).
"""

import time
from collections.abc import Callable
from enum import StrEnum

from objects import Cause, Row, Rows, Source, StoredObject

from shared.s3_events import ObjectEvent, order_key

MAX_ROUNDS = 8

# No invocation lives longer than 15 minutes; the rest is for clocks that differ.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-timeout.html
MARK_SECONDS = 20 * 60


class RowKeepsChanging(Exception):
    """Somebody else wrote the row between each look and each write. Trying again later is right."""


class Outcome(StrEnum):
    """What was done for an event."""

    WRITTEN = "written"
    DELETED = "deleted"
    UNCHANGED = "unchanged"


class Synchroniser:
    """Handles one event at a time.

    Args:
        source: The bucket.
        rows: The table.
        clock: Tells the time, in seconds since 1970; replaced by tests.
    """

    def __init__(self, source: Source, rows: Rows, *, clock: Callable[[], float] = time.time) -> None:
        self._source = source
        self._rows = rows
        self._clock = clock

    def handle(self, event: ObjectEvent) -> Outcome:
        """Bring the row of the event's key into line with the object that is there now.

        Raises:
            RowKeepsChanging: The row was another one again and again.
        """
        cause = Cause(event.name, event.time)
        if not event.is_ordered:
            return self.follow(event.key, self._rows.read(event.key), cause=cause, mark=True)
        seen = self._source.look(event.key)
        written, row = self._rows.write_newer(
            event.key, seen, sequencer=order_key(event.sequencer), cause=cause
        )
        if row and not self._was_looked_at(row):
            if written:
                return _outcome(seen)
            if row.object == seen:
                return Outcome.UNCHANGED
        followed = self.follow(event.key, row or self._rows.read(event.key), cause=cause)
        return _outcome(seen) if written and followed is Outcome.UNCHANGED else followed

    def follow(self, key: str, row: Row | None, *, cause: Cause, mark: bool = False) -> Outcome:
        """Look, and write what is there without a sequencer.

        Args:
            key: The key.
            row: As it was read, before this call.
            cause: Why.
            mark: Write it even if the row says so already: somebody may be about to overwrite it.

        Raises:
            RowKeepsChanging: The row was another one again and again.
        """
        for _ in range(MAX_ROUNDS):
            seen = self._source.look(key)
            # Where there is nothing, there is nothing that others could overlook.
            if (row.object if row else None) == seen and (seen is None or not mark):
                return Outcome.UNCHANGED
            if self._rows.write_instead(key, seen, instead_of=row, cause=cause):
                return _outcome(seen)
            row = self._rows.read(key)
        raise RowKeepsChanging(f"{key}: somebody else wrote the row each of the {MAX_ROUNDS} times")

    def _was_looked_at(self, row: Row) -> bool:
        return row.looked_at > self._clock() - MARK_SECONDS


def _outcome(seen: StoredObject | None) -> Outcome:
    return Outcome.WRITTEN if seen else Outcome.DELETED
