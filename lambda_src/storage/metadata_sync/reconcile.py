"""Compares a bucket with its table, key by key, and repairs what differs: in pieces that can be interrupted.

Both are read in the order of the bytes of their keys, so one pass over both finds what is missing, outdated
or superfluous, in a bounded amount of memory. How far a run is, is saved after each piece; a later invocation
goes on from there. Whoever saves holds the lease: a save fails if somebody else has saved since.

What a listing says is compared: etag, size, last modified, storage class and restored copies. A row that
agrees is not looked at. A difference is no repair yet: between listing and reading, events go on being
handled. So each difference is looked at as an event without a sequencer is (``sync.py``).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

from objects import Cause, Listed, Row, Rows, Source, States, StoredObject
from sync import Outcome

PIECE = 1000  # keys between two saves: a page of a listing
WORKERS = 10  # as many connections as botocore keeps

COUNTS = ("checked", "missing", "outdated", "superfluous", "repaired", "failed")


class LeaseLost(Exception):  # noqa: N818 - the errorType that an operator reads
    """Another invocation has taken the run over. Nothing is wrong with it; this one ends."""


class Looker(Protocol):
    """What repairs one row."""

    def look(self, key: str, row: Row | None, *, cause: Cause) -> Outcome:
        """Write what is there now."""


class Difference(NamedTuple):
    """A key where bucket and table seem to differ."""

    key: str
    kind: str
    row: Row | None


@dataclass(kw_only=True)
class Run:
    """How far the current run is, or how the last one ended. Times are in seconds since 1970.

    Args:
        cursor: The last key that is done.
        lease_until: When somebody else may go on.
        started_at: When the run began; 0 if there was none yet.
        finished_at: When it ended; 0 while it goes on.
        counts: What it found so far.
    """

    cursor: str = ""
    lease_until: int = 0
    started_at: int = 0
    finished_at: int = 0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))

    @property
    def is_going_on(self) -> bool:
        """Whether there is something to continue."""
        return self.started_at > 0 and self.finished_at == 0


class Tick(NamedTuple):
    """What one invocation did.

    Args:
        status: ``"worked"``, ``"idle"`` (it is not time yet) or ``"busy"`` (another invocation is at it).
        run: The run, as it is now.
        counts: What this invocation found.
    """

    status: str
    run: Run
    counts: Counter[str]


class Reconciler:
    """Brings a table into line with its bucket.

    Args:
        source: The bucket.
        rows: The table.
        states: Where it is kept how far a run is.
        looker: Repairs one row.
        follows: Whether objects with a key have rows.
        every: Seconds from the start of a run to the start of the next.
        clock: Tells the time, in seconds since 1970.
        report: Is told of what could not be repaired.
    """

    def __init__(
        self,
        *,
        source: Source,
        rows: Rows,
        states: States,
        looker: Looker,
        follows: Callable[[str], bool],
        prefix: str,
        every: int,
        clock: Callable[[], float],
        report: Callable[[str, Exception], None],
    ) -> None:
        self._source = source
        self._rows = rows
        self._states = states
        self._looker = looker
        self._follows = follows
        self._prefix = prefix
        self._every = every
        self._clock = clock
        self._report = report

    def tick(self, *, seconds: float, start: bool = False) -> Tick:
        """Go on with a run, or begin one if it is time, for as long as may be.

        Args:
            seconds: How long this may take. A piece that was begun is finished.
            start: Begin a run even if it is not time yet.

        Raises:
            LeaseLost: Somebody else has taken over.
        """
        began = self._clock()
        saved, revision = self._states.load()
        run = Run(**json.loads(saved)) if saved else Run()
        if run.lease_until > began:
            return Tick("busy", run, Counter())
        if not run.is_going_on:
            if not start and run.started_at and began < run.started_at + self._every:
                return Tick("idle", run, Counter())
            run = Run(started_at=int(began))
        # Twice: so that a piece that takes longer than expected is not taken over by the next tick.
        run.lease_until = int(began + 2 * seconds) + 1
        revision = self._save(run, revision)
        counts: Counter[str] = Counter()
        differences = self._compare(run.cursor)
        while run.is_going_on and self._clock() < began + seconds:
            found = self._piece(differences, run)
            counts.update(found)
            run.counts = {name: run.counts[name] + found[name] for name in COUNTS}
            if run.finished_at:
                self._rows.remove_expired()
            revision = self._save(run, revision)
        run.lease_until = 0
        self._save(run, revision)
        return Tick("worked", run, counts)

    def _save(self, run: Run, revision: int) -> int:
        if not self._states.save(json.dumps(asdict(run)), revision):
            raise LeaseLost("another invocation goes on with this run")
        return revision + 1

    def _piece(self, compared: Iterator[tuple[str, Difference | None]], run: Run) -> Counter[str]:
        """Do the next keys, and move the cursor."""
        counts: Counter[str] = Counter()
        piece = list(islice(compared, PIECE))
        differences = [difference for _, difference in piece if difference]
        counts["checked"] = len(piece)
        counts.update(one.kind for one in differences)
        with ThreadPoolExecutor(WORKERS) as pool:
            counts.update(pool.map(self._repair, differences))
        del counts["unchanged"]
        if piece:
            run.cursor = piece[-1][0]
        if len(piece) < PIECE:
            run.finished_at = int(self._clock())
        return counts

    def _repair(self, difference: Difference) -> str:
        try:
            outcome = self._looker.look(difference.key, difference.row, cause=Cause("Reconciled", ""))
        except Exception as error:  # this key alone; the next run will see it again
            self._report(difference.key, error)
            return "failed"
        return "unchanged" if outcome is Outcome.UNCHANGED else "repaired"

    def _compare(self, after: str) -> Iterator[tuple[str, Difference | None]]:
        """Return each key that bucket or table has, and what is different about it."""
        listed = self._source.walk(after=after, prefix=self._prefix)
        rows = self._rows.walk(after=after, prefix=self._prefix)
        for key, one, row in _merged(listed, rows):
            if self._follows(key):
                kind = _difference(one, row.object if row else None)
                yield key, Difference(key, kind, row) if kind else None


def _difference(one: Listed | None, stored: StoredObject | None) -> str:
    if one is None:
        return "superfluous" if stored else ""
    if stored is None:
        return "missing"
    return "" if one.describes(stored) else "outdated"


def _merged(
    listed: Iterator[Listed], rows: Iterator[tuple[str, Row]]
) -> Iterator[tuple[str, Listed | None, Row | None]]:
    """Walk through both in the order of their keys."""
    one, row = next(listed, None), next(rows, None)
    while one or row:
        key = min(key.encode() for key in (one and one.key, row and row[0]) if key)
        here = one if one and one.key.encode() == key else None
        there = row[1] if row and row[0].encode() == key else None
        yield key.decode(), here, there
        if here:
            one = next(listed, None)
        if there:
            row = next(rows, None)


def answer_of(tick: Tick) -> Mapping[str, Any]:
    """What the function returns."""
    return {
        "status": tick.status,
        "finished": tick.run.finished_at > 0,
        "counts": {name: tick.counts[name] for name in COUNTS},
        "run": {
            "started_at": tick.run.started_at,
            "finished_at": tick.run.finished_at,
            "counts": tick.run.counts,
        },
    }
