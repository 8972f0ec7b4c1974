"""The work: bookings of one year → totals of each branch. Plain Python, piece by piece."""

import re
from dataclasses import dataclass, field
from typing import Any

_JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")
_KEY = re.compile("[^\ud800-\udfff]+")  # JSON may hold halves of characters
_MAX_PAUSE = 60
# Limits of what each checkpoint has to hold.
_BOOKING = re.compile(r"([0-9]{4}),([ -+\--~]{1,64}),(-?[0-9]{1,15})\r?")
_LONGEST_LINE = 128
_MOST_BRANCHES = 10_000


class InvalidJob(ValueError):
    """The event is no job; the message says what to change."""


class TooManyBranches(ValueError):
    """The totals do not fit into a checkpoint; the message says what to change."""


def check_job_id(given: object) -> str:
    """Return the id of a job: a part of keys in S3 and of names in `/tmp`.

    Raises:
        InvalidJob: It cannot be one.
    """
    if not isinstance(given, str) or not _JOB_ID.fullmatch(given):
        raise InvalidJob("job_id must be 1 to 128 letters, digits, hyphens and underscores")
    return given


@dataclass(frozen=True)
class Job:
    """A report that was asked for.

    Args:
        job_id: The sender's id of the job, the same each time it is sent.
        file: The key of the file with the bookings.
        year: The year to report on.
        pause: For demonstrations: seconds that each piece takes longer.
    """

    job_id: str
    file: str
    year: int
    pause: float = 0

    @classmethod
    def parse(cls, event: object) -> "Job":
        """Read an event.

        Raises:
            InvalidJob: It is not a job.
        """
        if not isinstance(event, dict):
            raise InvalidJob("a job is a JSON object with job_id, file and year")
        job_id = check_job_id(event.get("job_id"))
        file, year, pause = event.get("file"), event.get("year"), event.get("pause", 0)
        if not isinstance(file, str) or not _KEY.fullmatch(file) or len(file.encode()) > 1024:
            raise InvalidJob("file must be the key of an object, 1 to 1,024 bytes of UTF-8")
        if isinstance(year, bool) or not isinstance(year, int) or not 1900 <= year <= 9999:
            raise InvalidJob("year must be a whole number from 1900 to 9999")
        if isinstance(pause, bool) or not isinstance(pause, int | float) or not 0 <= pause <= _MAX_PAUSE:
            raise InvalidJob(f"pause must be a number of seconds from 0 to {_MAX_PAUSE}")
        return cls(job_id, file, year, pause)


@dataclass
class Totals:
    """The state of the work: what a checkpoint keeps.

    Args:
        cents: The total of each branch.
        lines: How many lines of the file are counted.
        bad_lines: How many of them are no bookings.
        rest: The beginning of a line that ends in the next piece; of a long one, enough to see that it is.
    """

    cents: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    bad_lines: int = 0
    rest: str = ""

    def add(self, piece: bytes, year: int, *, last: bool) -> None:
        """Add the bookings of a year in the next piece of the file: lines of `year,branch,cents`.

        Raises:
            TooManyBranches: The year has more than a checkpoint should hold.
        """
        # Bytes that are no ASCII make their line a bad one, and a piece may end within a character.
        *complete, rest = (self.rest + piece.decode("ascii", "replace")).split("\n")
        self.rest = rest[:_LONGEST_LINE]
        if last and self.rest:
            complete, self.rest = [*complete, self.rest], ""
        self.lines += len(complete)
        for line in complete:
            if not (booking := _BOOKING.fullmatch(line)):
                self.bad_lines += 1
                continue
            booked, branch, cents = booking.groups()
            if int(booked) == year:
                self.cents[branch] = self.cents.get(branch, 0) + int(cents)
        if len(self.cents) > _MOST_BRANCHES:
            raise TooManyBranches(
                f"{year} has more than {_MOST_BRANCHES:,} branches; a checkpoint holds the total of each, so "
                "split the file by branch"
            )

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return vars(self) | {"cents": dict(self.cents)}
