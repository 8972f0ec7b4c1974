"""What CloudWatch Logs sends: events of one log stream, compressed; and the problems in it.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html
"""

import base64
import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from shared.failures import PermanentFailure

# An asynchronous invocation has at most 1 MB, and logs are compressed to a fifth or less. What is larger is
# no log: a few kilobytes can be a gigabyte, decompressed.
MOST_BYTES = 20 * 2**20

_LEVELS = frozenset({"ERROR", "CRITICAL", "FATAL"})
# A problem has one of these; those without a first letter are the levels in small letters.
_HINTS = (*sorted(_LEVELS), "rror", "ritical", "atal", "Traceback", "Exception in thread", "timed out")
_PROBLEM = re.compile(
    r"\b(?:ERROR|CRITICAL|FATAL)\b|Traceback \(most recent call last\)|Exception in thread|Task timed out"
)
# An event of its own, also if it is indented: it begins with a level, perhaps after a time. Program text that
# a stack trace quotes may begin with a name like a level.
_BEGINS = re.compile(
    r"\s*[\[(]?(?:\d[\d:.,TZ+/ -]{0,40}[\])]?\s+[\[(]?)?"
    r"(?:TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|CRITICAL|FATAL)\b(?![.(]|\s*=)|\s*Exception in thread"
)
# The lines of a stack trace after the first: indented, or one of these, or the last one of Python.
_TRACEBACK = "Traceback (most"
_CONTINUED = (_TRACEBACK, "Caused by: ", "During handling of the above", "The above exception was")
_LAST = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt|Warning)\b")
_ID = re.compile("[0-9]{1,64}")
_MINUTE = 60_000
_END_OF_TIME = 253_402_300_800_000  # the year 10000, in milliseconds
_LONGEST_SUMMARY = 300


class NotABatch(ValueError):
    """It is nothing that CloudWatch Logs sends; the text gives the reason."""


class NotALogEvent(PermanentFailure):
    """One event of a batch has not what each has; the text says what."""


@dataclass
class Problem:
    """An error and, if it was written as several events, its stack trace.

    Args:
        id: The id of its first event, the same in each delivery.
        minute: When it was written: ``2026-11-27T18:05Z``.
        lines: Its events.
    """

    id: str
    minute: str
    lines: list[str] = field(default_factory=list)

    @property
    def summary(self) -> str:
        """What happened, in one short line that any store takes."""
        texts, document = self.lines[:1], _parsed(self.lines[0])
        if isinstance(document, dict):
            texts = [str(document.get(name) or "") for name in ("message", "errorMessage")] + texts
        line = next(line for text in texts for line in text.splitlines() if line.strip())
        return line.strip()[:_LONGEST_SUMMARY].encode(errors="replace").decode()


@dataclass(frozen=True)
class Batch:
    """The events of a log stream that were sent together.

    Args:
        envelope: What was sent, decompressed.
    """

    envelope: Mapping[str, Any]

    @property
    def group(self) -> str:
        """The log group."""
        return str(self.envelope["logGroup"])

    @property
    def stream(self) -> str:
        """The log stream."""
        return str(self.envelope["logStream"])

    @property
    def events(self) -> Sequence[Any]:
        """The events, the oldest first."""
        events: Sequence[Any] = self.envelope["logEvents"]
        return events

    def only(self, event: Any) -> dict[str, Any]:
        """Return what CloudWatch Logs would send if there were only this event."""
        text = json.dumps({**self.envelope, "logEvents": [event]})
        return {"awslogs": {"data": base64.b64encode(gzip.compress(text.encode())).decode()}}


def read(payload: Any) -> Batch | None:
    """Return the batch in an event; None if CloudWatch Logs only tries whether the function can be invoked.

    Raises:
        NotABatch: It has another form, or is too large.
    """
    try:
        text = _decompressed(payload["awslogs"]["data"])
        envelope = json.loads(text)
        kind = envelope["messageType"]
        if kind == "CONTROL_MESSAGE":
            return None
        if kind != "DATA_MESSAGE" or not isinstance(envelope["logEvents"], list):
            raise NotABatch(f"it is of the type {kind!r:.40}")
        if not envelope["logGroup"] or not isinstance(envelope["logGroup"], str):
            raise NotABatch("it names no log group")
        return Batch({"logStream": "", **envelope})
    except (KeyError, TypeError, zlib.error, RecursionError) as error:
        raise NotABatch(f"it has another form than a batch of CloudWatch Logs: {error!r:.80}") from None
    except ValueError as error:
        raise error if isinstance(error, NotABatch) else NotABatch("it is not JSON") from None


def _decompressed(data: str) -> bytes:
    try:
        compressed = base64.b64decode(data, validate=True)
    except ValueError:
        raise NotABatch("its data is not base64") from None
    if not compressed:
        raise NotABatch("its data is empty")
    stream = zlib.decompressobj(wbits=31)  # gzip
    text = stream.decompress(compressed, MOST_BYTES)
    if not stream.eof:
        too_large = f"it has more than {MOST_BYTES:,} bytes when decompressed"
        raise NotABatch("it is cut off" if len(text) < MOST_BYTES else too_large)
    if stream.unused_data:
        raise NotABatch("something follows the end of its compressed data")
    return text


def check(event: Any) -> str | None:
    """Say what an event lacks that every log event has; None if nothing."""
    if not isinstance(event, dict):
        return "it is not an object"
    number, time = event.get("id"), event.get("timestamp")
    if not isinstance(number, str) or not _ID.fullmatch(number):
        return "its id is not a number as text"
    if not isinstance(event.get("message"), str):
        return "its message is not a text"
    if isinstance(time, bool) or not isinstance(time, int) or not 0 <= time < _END_OF_TIME:
        return "its timestamp is not in milliseconds since 1970"
    return None


def problems(events: Sequence[Mapping[str, Any]]) -> Iterator[Problem]:
    """Find the errors in valid events of one log stream; a stack trace in several events is one error.

    What is in another batch, or was not let through by the filter pattern, cannot be joined.
    """
    current: Problem | None = None
    for event in events:
        message = event["message"]
        if current is not None and _continues(message, current):
            current.lines.append(message)
            continue
        if current is not None:
            yield current
        current = None
        if _is_problem(message):
            current = Problem(event["id"], _written(event["timestamp"] // _MINUTE), [message])
    if current is not None:
        yield current


def _continues(message: str, current: Problem) -> bool:
    before = current.lines[-1]
    if message[:1].isspace():
        return not _BEGINS.match(message) and not _levels(_parsed(message))
    if message.startswith(_CONTINUED):
        # One that follows the end of another stack trace directly belongs to the next error.
        return not (message.startswith(_TRACEBACK) and len(current.lines) > 1 and _LAST.match(before))
    return before[:1].isspace() and _LAST.match(message) is not None


def _is_problem(message: str) -> bool:
    """Most lines have none of the words, and parsing JSON takes ten times as long as looking for them."""
    if not any(map(message.__contains__, _HINTS)):
        return False
    document = _parsed(message)
    if not isinstance(document, dict):
        return _PROBLEM.search(message) is not None
    return any(level.upper() in _LEVELS for level in _levels(document))


def _levels(document: Any) -> list[str]:
    if not isinstance(document, dict):
        return []
    return [one for name in ("level", "log_level") if isinstance(one := document.get(name), str)]


def _parsed(message: str) -> Any:
    try:
        return json.loads(message) if message.lstrip().startswith("{") else None
    except (ValueError, RecursionError):
        return None


@lru_cache(maxsize=1_000)  # writing a time takes longer than all else
def _written(minute: int) -> str:
    return f"{datetime.fromtimestamp(minute * 60, UTC):%Y-%m-%dT%H:%MZ}"
