"""Compares a bucket with its table, key by key, and repairs what differs: in pieces that can be interrupted.

Both are read in the order of the bytes of their keys, so one pass over both finds what is missing, outdated
or superfluous, in a bounded amount of memory. How far a run is, is saved after each piece; a later invocation
goes on from there. Whoever saves holds the lease: a save fails if somebody else has saved since.

What a listing says is compared: etag, size, last modified, storage class and restored copies. A row that
agrees is not looked at; so tags that changed without an event stay unseen, and so does a second object with
the same content in the same second. A difference is no repair yet: between listing and reading, events go on
being handled. So each difference is looked at as an event without a sequencer is (``sync.py``).
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, NamedTuple, Protocol

from objects import Cause, Listed, Row, Rows, Source, States
from sync import Outcome

PIECE = 1000  # keys between two saves: a page of a listing
WORKERS = 10  # as many connections as botocore keeps

COUNTS = ("checked", "missing", "outdated", "superfluous", "repaired", "failed")


class LeaseLost(Exception):
    """Another invocation has taken the run over. Nothing is wrong with it; this one ends."""


class NothingToCompare(Exception):
    """What the table is to be compared with is not there yet. The next tick asks again."""


class CannotCompare(Exception):
    """What the table is compared with is gone, broken or not understood. The next tick begins a new run."""


class Looker(Protocol):
    """What repairs one row."""

    def follow(self, key: str, row: Row | None, *, cause: Cause) -> Outcome:
        """Look, and write what is there now if it is something else."""


class Doubt(NamedTuple):
    """A key where bucket and table may differ.

    Args:
        key: The key.
        row: As it was read, if it was.
        described: What is to be compared with the row, if that is left to do.
    """

    key: str
    row: Row | None = None
    described: Listed | None = None


class Step(NamedTuple):
    """One step of a comparison: where it can be continued after it, and what it found."""

    cursor: str
    doubt: Doubt | None


class Comparison(Protocol):
    """Compares bucket and table."""

    def steps(self, cursor: str) -> Iterator[Step]:
        """Go on after a cursor, an empty one being the beginning."""


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
        status: ``"worked"``, ``"idle"`` (it is not time yet), ``"busy"`` (another invocation is at it) or
            ``"waiting"`` (there is nothing yet to compare with).
        run: The run, as it is now.
        counts: What this invocation found.
        reason: Why it waits.
    """

    status: str
    run: Run
    counts: Counter[str]
    reason: str = ""


class Reconciler:
    """Brings a table into line with its bucket.

    Args:
        comparison: Finds what may differ.
        rows: The table.
        states: Where it is kept how far a run is.
        looker: Repairs one row.
        every: Seconds from the start of a run to the start of the next.
        clock: Tells the time, in seconds since 1970.
        report: Is told of what could not be repaired.
    """

    def __init__(
        self,
        *,
        comparison: Comparison,
        rows: Rows,
        states: States,
        looker: Looker,
        every: int,
        clock: Callable[[], float],
        report: Callable[[str, Exception], None],
    ) -> None:
        self._comparison = comparison
        self._rows = rows
        self._states = states
        self._looker = looker
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
            CannotCompare: The run was given up.
        """
        began = self._clock()
        saved, revision = self._states.load()
        run = last = Run(**json.loads(saved)) if saved else Run()
        if run.lease_until > began:
            return Tick("busy", run, Counter())
        if not run.is_going_on:
            if not start and run.started_at and began < run.started_at + self._every:
                return Tick("idle", run, Counter())
            last, run = run, Run(started_at=int(began))
        # Twice: so that a piece that takes longer than expected is not taken over by the next tick.
        run.lease_until = int(began + 2 * seconds) + 1
        revision = self._save(run, revision)
        counts: Counter[str] = Counter()
        steps = self._comparison.steps(run.cursor)
        try:
            while run.is_going_on and self._clock() < began + seconds:
                found = self._piece(steps, run)
                counts.update(found)
                run.counts = {name: run.counts[name] + found[name] for name in COUNTS}
                if run.finished_at:
                    self._rows.remove_expired()
                revision = self._save(run, revision)
        except LeaseLost:
            raise
        except NothingToCompare as error:
            self._release(last, revision)
            return Tick("waiting", last, counts, str(error))
        except Exception as error:
            # A run that could never go on would stand in the way of all that follow.
            self._release(Run() if isinstance(error, CannotCompare) else run, revision)
            raise
        self._release(run, revision)
        return Tick("worked", run, counts)

    def _release(self, run: Run, revision: int) -> None:
        run.lease_until = 0
        self._save(run, revision)

    def _save(self, run: Run, revision: int) -> int:
        if not self._states.save(json.dumps(asdict(run)), revision):
            raise LeaseLost("another invocation goes on with this run")
        return revision + 1

    def _piece(self, steps: Iterator[Step], run: Run) -> Counter[str]:
        """Do the next steps, and move the cursor."""
        piece = list(islice(steps, PIECE))
        counts = Counter(checked=len(piece))
        with ThreadPoolExecutor(WORKERS) as pool:
            for found in pool.map(self._repair, [step.doubt for step in piece if step.doubt]):
                counts.update(found)
        if piece:
            run.cursor = piece[-1].cursor
        if len(piece) < PIECE:
            run.finished_at = int(self._clock())
        return counts

    def _repair(self, doubt: Doubt) -> tuple[str, ...]:
        """Settle one doubt; say what was found and done."""
        try:
            row = self._rows.read(doubt.key) if doubt.described else doubt.row
            stored = row.object if row else None
            if doubt.described and doubt.described.describes(stored):
                return ()
            outcome = self._looker.follow(doubt.key, row, cause=Cause("Reconciled", ""))
        except Exception as error:  # this key alone; the next run will see it again
            self._report(doubt.key, error)
            return ("failed",)
        if outcome is Outcome.UNCHANGED:  # an event was faster
            return ()
        if outcome is Outcome.DELETED:
            return "superfluous", "repaired"
        return "outdated" if stored else "missing", "repaired"


class Listing:
    """Compares the table with a listing of the bucket.

    Args:
        source: The bucket.
        rows: The table.
        follows: Whether objects with a key have rows.
        prefix: What the keys start with.
    """

    def __init__(self, source: Source, rows: Rows, *, follows: Callable[[str], bool], prefix: str) -> None:
        self._source = source
        self._rows = rows
        self._follows = follows
        self._prefix = prefix

    def steps(self, cursor: str) -> Iterator[Step]:
        """Go on after a key: return each further key that bucket or table has."""
        listed = self._source.walk(after=cursor, prefix=self._prefix)
        rows = self._rows.walk(after=cursor, prefix=self._prefix)
        for key, one, row in _merged(listed, rows):
            if self._follows(key):
                stored = row.object if row else None
                agrees = one.describes(stored) if one else stored is None
                yield Step(key, None if agrees else Doubt(key, row))


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
