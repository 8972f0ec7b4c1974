"""Traces of X-Ray: found by an expression, read as a tree, drawn as a picture."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from scenarios.framework import DeployedStack

Document = Mapping[str, Any]

_WIDTH, _ROW, _NAMES = 1100, 22, 430  # of the picture, in pixels
_COLOURS = {"failed": "#d62728", "segment": "#1f77b4", "": "#9ecae1"}


@dataclass(frozen=True)
class Step:
    """A segment or subsegment in its place.

    Attributes:
        depth: How many it is below.
        name: Its name, without the random part that CloudFormation gives to a resource.
        kind: `segment`, or nothing.
        start, seconds: When it began, since the trace did, and how long it took.
        failed: Whether it has an error or a fault.
        document: All that is known of it.
    """

    depth: int
    name: str
    kind: str
    start: float
    seconds: float
    failed: bool
    document: Document

    def line(self) -> str:
        """A line of the tree."""
        mark = "  failed" if self.failed else ""
        times = f"{self.start * 1000:7.0f} ms {self.seconds * 1000:8.1f} ms"
        return f"{times}  {'  ' * self.depth}{self.name}{mark}"


class Traces:
    """The traces of a stack.

    Args:
        stack: The deployed stack.
        names: What functions are called in a tree, by their names.
    """

    def __init__(self, stack: DeployedStack, names: Mapping[str, str]) -> None:
        self._xray = stack.client("xray")
        self._names = names
        self._since = time.time() - 1

    def found(self, expression: str) -> list[str]:
        """The ids of the traces that a filter expression selects, since this object was made."""
        pages = self._xray.get_paginator("get_trace_summaries").paginate(
            StartTime=self._since, EndTime=time.time() + 1, FilterExpression=expression
        )
        return [one["Id"] for page in pages for one in page["TraceSummaries"]]

    def steps(self, trace: str) -> list[Step]:
        """A trace as a tree: each segment after the call that caused it."""
        answer = self._xray.batch_get_traces(TraceIds=[trace])["Traces"]
        documents = [json.loads(one["Document"]) for found in answer for one in found["Segments"]]
        if not documents:
            return []
        begin = min(one["start_time"] for one in documents)
        known = {inner["id"] for one in documents for inner in _everything(one)}
        roots = [one for one in documents if one.get("parent_id") not in known]
        return [step for root in _in_order(roots) for step in self._below(root, documents, begin, 0)]

    def _below(self, one: Document, segments: list[Document], begin: float, depth: int) -> Iterator[Step]:
        name = self._names.get(one["name"], one["name"])
        if one.get("origin"):
            name = f"{name} [{one['origin']}]"
        if operation := one.get("aws", {}).get("operation"):
            name = f"{name}.{operation}"
        start, end = one["start_time"], one.get("end_time", one["start_time"])
        failed = bool(one.get("error") or one.get("fault"))
        kind = "" if one.get("type") == "subsegment" or "trace_id" not in one else "segment"
        yield Step(depth, name, kind, start - begin, end - start, failed, one)
        below = [*one.get("subsegments", ()), *(own for own in segments if own.get("parent_id") == one["id"])]
        for inner in _in_order(below):
            yield from self._below(inner, segments, begin, depth + 1)


def _everything(document: Document) -> Iterator[Document]:
    yield document
    for inner in document.get("subsegments", ()):
        yield from _everything(inner)


def _in_order(documents: list[Document]) -> list[Document]:
    return sorted(documents, key=lambda one: float(one["start_time"]))


def drawn(steps: list[Step], title: str) -> str:
    """A trace as a picture (SVG): a bar for each step, from left to right in time."""
    most = max(one.start + one.seconds for one in steps) or 1
    scale = (_WIDTH - _NAMES - 90) / most
    rows = []
    for number, one in enumerate(steps):
        y = (number + 2) * _ROW
        x, width = _NAMES + one.start * scale, max(1.5, one.seconds * scale)
        colour = _COLOURS["failed" if one.failed else one.kind]
        rows.append(
            f'<text x="{10 + one.depth * 14}" y="{y}">{escape(one.name)}</text>'
            f'<rect x="{x:.1f}" y="{y - 12}" width="{width:.1f}" height="15" fill="{colour}"/>'
            f'<text x="{x + width + 5:.1f}" y="{y}" fill="#555">{one.seconds * 1000:.0f} ms</text>'
        )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{(len(steps) + 2) * _ROW}" '
        'font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
        f'<text x="10" y="{_ROW}" font-weight="bold">{escape(title)}</text>{"".join(rows)}</svg>\n'
    )
