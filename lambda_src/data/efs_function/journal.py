"""A journal and its summary on a file system that many environments write at once.

The journal is the truth, and only grows. A reading is in it when its line is complete and on disk. The
summary says up to which byte it counts the journal, so it can be brought up to date after any crash: nothing
is lost, and nothing counts twice. Three things make that safe, also on NFS:

- an advisory lock (`fcntl.lockf`), which EFS releases when the environment of its owner is gone. Taking it
  also makes the client look at the server's file, and not at its cache;
- `fsync` before the success is reported;
- `os.replace` of a complete file, which is atomic.

https://docs.aws.amazon.com/efs/latest/ug/features.html
"""

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

from shared.storable import check_text

_REMEMBERED = 1_000
_MAX_VALUE = 10**9
#: How many readings one batch may have: few enough that its ids are remembered until it is sent again.
MAX_BATCH = 100


@dataclass(frozen=True)
class Reading:
    """A reading of a sensor.

    Args:
        id: The sender's id: the same each time it is sent.
        sensor: The sensor.
        value: What it measured, by the model.
    """

    id: str
    sensor: str
    value: int

    @classmethod
    def parse(cls, given: object, factors: Mapping[str, int]) -> "Reading":
        """Read what a sender gave.

        Raises:
            ValueError: It is no reading.
        """
        if not isinstance(given, dict):
            raise ValueError("a reading is a JSON object with id, sensor and value")
        value = given.get("value")
        if type(value) is not int or abs(value) > _MAX_VALUE:  # `True` is an int too
            raise ValueError(
                f"value must be a whole number from -{_MAX_VALUE:,} to {_MAX_VALUE:,}, in digits: "
                "not true, false, text or a fraction"
            )
        sensor = check_name("sensor", given.get("sensor"))
        return cls(check_name("id", given.get("id")), sensor, value * factors.get(sensor, 1))


def check_name(name: str, given: object) -> str:
    """Return an id or a sensor that can be written, and returned in an answer.

    Raises:
        NotStorable: It is none.
    """
    return check_text(name, given, max_characters=100, max_bytes=400)


@dataclass
class Summary:
    """What the journal says, up to a byte.

    Args:
        counted: Up to which byte of the journal.
        totals: The total of each sensor.
        recent: The ids of the last readings: one of these is a duplicate.
    """

    counted: int = 0
    totals: dict[str, int] = field(default_factory=dict)
    recent: list[str] = field(default_factory=list)

    def count(self, lines: bytes) -> None:
        """Count the next lines of the journal."""
        for line in lines.splitlines():
            reading = Reading(**json.loads(line))
            self.totals[reading.sensor] = self.totals.get(reading.sensor, 0) + reading.value
            self.recent.append(reading.id)
        self.counted += len(lines)
        del self.recent[:-_REMEMBERED]


class Journal:
    """The journal in a folder.

    Args:
        folder: A folder of a shared file system.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self._journal = folder / "journal.jsonl"
        self._summary = folder / "summary.json"

    def append(self, readings: Sequence[Reading], *, pause: float = 0) -> tuple[Summary, int]:
        """Append the readings that are new; return the summary, and how many they were.

        Args:
            readings: The readings.
            pause: For demonstrations: seconds between the journal and its summary.
        """
        with self.locked() as journal:
            summary = self._catch_up(journal)
            known = set(summary.recent)
            new: dict[str, Reading] = {}
            for one in readings:
                if one.id not in known:
                    new.setdefault(one.id, one)  # of two with the same id the first counts, in any batch
            lines = b"".join(json.dumps(asdict(one)).encode() + b"\n" for one in new.values())
            journal.write(lines)
            journal.flush()
            os.fsync(journal.fileno())
            time.sleep(pause)
            summary.count(lines)
            replace(self._summary, json.dumps(asdict(summary)).encode())
            return summary, len(new)

    def uncounted(self) -> int:
        """How many bytes the summary is behind: more than 0 while a writer works, or after its crash."""
        length = self._journal.stat().st_size if self._journal.exists() else 0
        return length - self._read_summary().counted

    @contextmanager
    def locked(self) -> Iterator[BinaryIO]:
        """The journal, for one writer at a time: in all environments."""
        with self._journal.open("ab+") as journal:
            fcntl.lockf(journal, fcntl.LOCK_EX)  # given back when the file is closed, also by a kill
            yield journal

    def _catch_up(self, journal: BinaryIO) -> Summary:
        """Count what a writer appended that did not come to the summary; drop the beginning of a line."""
        summary = self._read_summary()
        journal.seek(summary.counted)
        lines, end, _unfinished = journal.read().rpartition(b"\n")
        summary.count(lines + end)
        journal.truncate(summary.counted)
        return summary

    def _read_summary(self) -> Summary:
        return Summary(**json.loads(self._summary.read_bytes())) if self._summary.exists() else Summary()


def replace(path: Path, content: bytes) -> None:
    """Replace a file by a complete one, which is on disk before it gets the name."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
