"""The segments of traces: which documents X-Ray accepts, and how they make a trace.

Faithful to: the required fields of a document and the form of its name, ids and times, 64 KB at most; a
document replaces an earlier one with its id; subsegments that are sent by themselves become part of their
parent.
Not to: inferred segments for services that send none, such as a table of DynamoDB; the words of refusals;
how old a document may be; the 30 days after which traces are deleted: here, the 10,000 newest of an account
and Region are stored.

https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html
https://docs.aws.amazon.com/xray/latest/api/API_PutTraceSegments.html
"""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import AccountRegionScopedDict

from localaws.patching import on_reset
from localaws.services.xray.headers import SEGMENT_ID, TRACE_ID

Document = dict[str, Any]

_IN_NAMES = "_.:/%&#=+\\-@"
_LARGEST = 64 * 1024
_MOST_TRACES = 10_000

_traces: Any = AccountRegionScopedDict()  # by trace id: the documents by their ids
on_reset(_traces.clear)
_lock = threading.Lock()


class Unprocessed(Exception):
    """A document that X-Ray does not accept.

    Args:
        code: The error code.
        message: The reason.
        id: The id of the segment, if it has one.
    """

    def __init__(self, code: str, message: str, id: str = "") -> None:
        super().__init__(message)
        self.code, self.id = code, id


def read(text: str) -> Document:
    """A document from its text.

    Raises:
        Unprocessed: It is none.
    """
    if len(text.encode()) > _LARGEST:
        raise Unprocessed("InvalidSegment", f"A segment document may have {_LARGEST} bytes")
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Unprocessed("ParseError", "The document is not a JSON object")
    own = str(document.get("id") or "")
    for name, pattern in (("trace_id", TRACE_ID), ("id", SEGMENT_ID), ("parent_id", SEGMENT_ID)):
        given = document.get(name)
        if given is None and name == "parent_id" and document.get("type") != "subsegment":
            continue
        letters = "".join(part.title() for part in name.split("_"))
        if given is None:
            raise Unprocessed(f"Missing{letters}", f"{name} is missing", own)
        if not isinstance(given, str) or not pattern.fullmatch(given):
            raise Unprocessed(f"Invalid{letters}", f"{name} {given!r} has another form", own)
    if not isinstance(document.get("name"), str) or not 1 <= len(document["name"]) <= 200:
        raise Unprocessed("MissingName", "name must have 1 to 200 characters", own)
    if not all(
        one.isalpha() or one.isdecimal() or one.isspace() or one in _IN_NAMES for one in document["name"]
    ):
        raise Unprocessed("InvalidName", "name may have letters, numbers, spaces and _.:/%&#=+\\-@", own)
    ends = () if document.get("in_progress") is True else ("end_time",)
    for name in ("start_time", *ends):
        if isinstance(document.get(name), bool) or not isinstance(document.get(name), (int, float)):
            raise Unprocessed("InvalidTime", f"{name} must be a number of seconds", own)
    if ends and document["end_time"] < document["start_time"]:
        raise Unprocessed("InvalidTime", "end_time must not be before start_time", own)
    return document


def put(document: Document) -> None:
    """Add a document to its trace."""
    with _lock:
        _traces.setdefault(document["trace_id"], {})[document["id"]] = document
        while len(_traces) > _MOST_TRACES:
            del _traces[next(iter(_traces))]


@dataclass(frozen=True)
class Trace:
    """A trace.

    Attributes:
        id: Its id.
        segments: Its segments, by start, each with its subsegments.
        is_partial: Whether a segment is in progress, or a subsegment has no parent yet.
    """

    id: str
    segments: list[Document]
    is_partial: bool

    @property
    def root(self) -> Document:
        """The segment that began it."""
        return next((one for one in self.segments if not one.get("parent_id")), self.segments[0])

    @property
    def start(self) -> float:
        """When it began."""
        return min(float(one["start_time"]) for one in self.segments)

    @property
    def duration(self) -> float:
        """How long it took, with all that it caused."""
        return max(end_of(one) for one in self.segments) - self.start


def find(id: str) -> Trace | None:
    """A trace by its id."""
    with _lock:
        documents = copy.deepcopy(list((_traces.get(id) or {}).values()))
    if not documents:
        return None
    places = {one["id"]: one for document in documents for one in everything(document)}
    segments, orphans = [], 0
    for document in documents:
        parent = places.get(document.get("parent_id", ""))
        if document.get("type") != "subsegment":
            segments.append(document)
        elif parent is None:
            segments.append(document)
            orphans += 1
        else:
            parent.setdefault("subsegments", []).append(document)
    segments.sort(key=lambda one: float(one["start_time"]))
    in_progress = any(one.get("in_progress") for segment in segments for one in everything(segment))
    return Trace(id, segments, in_progress or orphans > 0)


def all_traces() -> Iterator[Trace]:
    """Every trace of the account and Region."""
    with _lock:
        known = list(_traces)
    yield from (trace for one in known if (trace := find(one)))


def everything(document: Document) -> Iterator[Document]:
    """A segment and its subsegments, at every depth."""
    yield document
    for inner in document.get("subsegments") or ():
        yield from everything(inner)


def end_of(document: Mapping[str, Any]) -> float:
    """When a segment ended, or began if it is in progress."""
    return float(document.get("end_time") or document["start_time"])
