"""Records that wait until they are shipped: bounded, and what does not fit is counted. Knows no AWS."""

import gzip
import json
import threading
import time
from collections import Counter
from typing import Any

Record = dict[str, Any]


class Buffer:
    """Records of the Telemetry API, in the order in which they came.

    Args:
        limit: Bytes of waiting records, as JSON. Records that come when it is full are dropped.
        max_age: Seconds until the oldest record should be shipped.
    """

    def __init__(self, limit: int, max_age: float) -> None:
        self._limit, self._max_age = limit, max_age
        self._lines: list[str] = []
        self._bytes = 0
        self._oldest = 0.0
        self._dropped: Counter[str] = Counter()
        self._ended: set[str] = set()
        self._changed = threading.Condition()

    def add(self, records: list[Record]) -> None:
        """Take records, as far as there is room."""
        with self._changed:
            for record in records:
                if record["type"] == "platform.runtimeDone":
                    self._ended.add(record["record"]["requestId"])
                line = json.dumps(record)
                if self._bytes + len(line) > self._limit:
                    self._dropped[record["type"]] += 1
                    continue
                if not self._lines:
                    self._oldest = time.monotonic()
                self._lines.append(line)
                self._bytes += len(line)
            self._changed.notify_all()

    def wait_for_end(self, request_id: str, seconds: float) -> None:
        """Wait until the function has ended an invocation: all its records have come."""
        with self._changed:
            self._changed.wait_for(lambda: request_id in self._ended, max(0.0, seconds))
            self._ended.discard(request_id)

    def is_due(self) -> bool:
        """Whether the oldest record is too old, or half of the room is taken."""
        too_old = time.monotonic() - self._oldest >= self._max_age
        return bool(self._lines) and (too_old or self._bytes >= self._limit // 2)

    def batch(self) -> tuple[bytes, int]:
        """All waiting records as compressed JSON Lines, and their number; 0 if there are none.

        The first line reports what was dropped. The records stay until `shipped` is called.
        """
        with self._changed:
            lines = list(self._lines)
            if self._dropped:
                report = {"type": "extension.dropped", "record": dict(self._dropped)}
                lines.insert(0, json.dumps(report))
            self._reported = self._dropped.copy()
            return gzip.compress("\n".join(lines).encode(), 6, mtime=0), len(self._lines)

    def shipped(self, count: int) -> None:
        """Forget the records of a batch, and what it reported."""
        with self._changed:
            self._bytes -= sum(map(len, self._lines[:count]))
            del self._lines[:count]
            self._dropped -= self._reported
            self._oldest = time.monotonic()
