"""Listing of the bucket + rows of the table → one pass over both → what differs is repaired.

Both are in the order of the UTF-8 of their keys, so one pass finds every row that is missing, outdated or
superfluous, with a bounded amount of memory. After each piece of 1,000 keys the cursor is saved; a later
invocation continues there. A save fails if another invocation has saved since: only one at a time gets on.

A row is compared with what a listing contains: ETag, size, last modified date, storage class and restored
copies. So a change of tags or user metadata whose event was lost stays unnoticed, and so does an object that
is overwritten with the same content within one second. A difference is not yet a repair: events are handled
between listing and reading, so each difference is looked at as an event without a sequencer is (``sync.py``).
"""

import heapq
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import groupby, islice
from typing import TYPE_CHECKING, Literal, NamedTuple

from .objects import Cause, Listed, Row, Source, Table
from .settings import Settings
from .sync import Outcome, Synchroniser

if TYPE_CHECKING:
    from aws_lambda_powertools.logging import Logger

PIECE = 1000  # keys between two saves: a page of a listing
WORKERS = 10  # botocore's default number of connections

COUNTS = ("checked", "missing", "outdated", "superfluous", "repaired", "failed")


class LeaseLost(Exception):
    """Another invocation continues this run. Nothing is wrong with the run; this invocation ends."""


@dataclass(kw_only=True)
class Run:
    """How far the current run is, or how the last one ended. Times are in seconds since 1970.

    Args:
        cursor: The last key that is done.
        lease_until: Until when other invocations stay away.
        started_at: When the run began; 0 if there has been none.
        finished_at: When it ended; 0 while it is unfinished.
        counts: What it has found so far.
    """

    cursor: str = ""
    lease_until: int = 0
    started_at: int = 0
    finished_at: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))

    @property
    def is_unfinished(self) -> bool:
        """Whether there is something to continue."""
        return self.started_at > 0 and self.finished_at == 0


class Tick(NamedTuple):
    """What one invocation did.

    Args:
        status: ``"idle"``: no run is due. ``"busy"``: another invocation is working.
        run: The run, as it is now.
        counts: What this invocation found.
    """

    status: Literal["worked", "idle", "busy"]
    run: Run
    counts: Counter[str]


class Pair(NamedTuple):
    """A key of bucket or table: the object as it is listed, and the row."""

    key: str
    listed: Listed | None
    row: Row | None

    @property
    def differs(self) -> bool:
        """Whether the row is missing, outdated or superfluous, as far as a listing shows."""
        stored = self.row.object if self.row else None
        return not self.listed.describes(stored) if self.listed else stored is not None


class Reconciler:
    """Compares a table with its bucket and repairs it.

    Args:
        source: The bucket.
        table: The table.
        settings: Which objects have rows.
        every: Seconds from the start of one run to the start of the next.
        logger: Logs each key that cannot be repaired.
        clock: Returns the time in seconds since 1970; tests replace it.
    """

    def __init__(
        self,
        source: Source,
        table: Table,
        settings: Settings,
        *,
        every: int,
        logger: "Logger",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._table = table
        self._settings = settings
        self._every = every
        self._logger = logger
        self._clock = clock
        self._synchroniser = Synchroniser(source, table, clock=clock)

    def tick(self, *, seconds: float, start: bool = False) -> Tick:
        """Continue the run, or begin one if it is due.

        Args:
            seconds: How long this may take. A piece that has begun is finished.
            start: Begin a run even if none is due.

        Raises:
            LeaseLost: Another invocation has taken over.
        """
        began = self._clock()
        state, revision = self._table.load_state()
        run = Run(**json.loads(state)) if state else Run()
        if run.lease_until > began:
            return Tick("busy", run, Counter())
        if not run.is_unfinished:
            if run.started_at and began < run.started_at + self._every and not start:
                return Tick("idle", run, Counter())
            run = Run(started_at=int(began))
        # Twice the time, so that the next tick does not take over a piece that takes longer than expected.
        run.lease_until = int(began + 2 * seconds) + 1
        revision = self._save(run, revision)
        pairs = self._pairs(after=run.cursor)
        counts: Counter[str] = Counter()
        try:
            while run.is_unfinished and self._clock() < began + seconds:
                piece = list(islice(pairs, PIECE))
                found = self._repair_all(piece)
                counts.update(found)
                run.counts = {name: run.counts[name] + found[name] for name in COUNTS}
                if piece:
                    run.cursor = piece[-1].key
                if len(piece) < PIECE:
                    run.finished_at = int(self._clock())
                    self._table.remove_expired()
                revision = self._save(run, revision)
        except Exception:
            self._release(run, revision)
            raise
        self._release(run, revision)
        return Tick("worked", run, counts)

    def _save(self, run: Run, revision: int) -> int:
        if not self._table.save_state(json.dumps(asdict(run)), revision):
            raise LeaseLost("another invocation continues this run")
        return revision + 1

    def _release(self, run: Run, revision: int) -> None:
        """Let the next tick continue. If another invocation has the lease by now, this changes nothing."""
        run.lease_until = 0
        self._table.save_state(json.dumps(asdict(run)), revision)

    def _pairs(self, *, after: str) -> Iterator[Pair]:
        """Return each later key that bucket or table has, in order."""
        prefix = self._settings.prefix
        objects = ((one.key, one) for one in self._source.walk(after=after, prefix=prefix))
        rows = self._table.walk(after=after, prefix=prefix)
        both: Iterator[tuple[str, Listed | Row]] = heapq.merge(
            objects, rows, key=lambda keyed: keyed[0].encode()
        )
        for key, found in groupby(both, key=lambda keyed: keyed[0]):
            if self._settings.matches(key):
                sides = [side for _, side in found]
                listed = next((side for side in sides if isinstance(side, Listed)), None)
                row = next((side for side in sides if isinstance(side, Row)), None)
                yield Pair(key, listed, row)

    def _repair_all(self, piece: list[Pair]) -> Counter[str]:
        """Repair what differs, several keys at a time; return how often what was found and done."""
        counts = Counter(checked=len(piece))
        with ThreadPoolExecutor(WORKERS) as pool:
            for found in pool.map(self._repair, [pair for pair in piece if pair.differs]):
                counts.update(found)
        return counts

    def _repair(self, pair: Pair) -> tuple[str, ...]:
        """Repair one row; return what was found and done."""
        try:
            outcome = self._synchroniser.refresh(pair.key, pair.row, cause=Cause("Reconciled", ""))
        except Exception as error:  # costs this key only; the next run meets it again
            self._logger.error(
                "cannot be repaired", key=pair.key, error_type=type(error).__name__, reason=str(error)
            )
            return ("failed",)
        if outcome is Outcome.UNCHANGED:  # an event was faster
            return ()
        if outcome is Outcome.DELETED:
            return "superfluous", "repaired"
        return "outdated" if pair.row and pair.row.object else "missing", "repaired"
