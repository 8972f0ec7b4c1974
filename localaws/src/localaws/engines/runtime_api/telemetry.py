"""The records of an environment, and the extensions that have subscribed to them.

Faithful to: records of the platform, of the function and of extensions, in batches that are limited in
number, bytes and time; records from before a subscription; the records that an extension loses because it is
too slow, and their number (`platform.logsDropped`).
Not to: TCP as a protocol; the memory that Lambda has for records, which AWS does not name: here it is four
batches. `producedBytes`, spans and `maxMemoryUsedMB` are left out.

https://docs.aws.amazon.com/lambda/latest/dg/telemetry-api-reference.html
https://docs.aws.amazon.com/lambda/latest/dg/telemetry-schema-reference.html
"""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
import urllib.parse
from collections import deque
from datetime import UTC, datetime
from typing import Any

from localaws.engines.runtime_api.sandbox import Refused

#: What `types` may contain, which records begin with, too.
TYPES = ("platform", "function", "extension")
#: The limits of `buffering`: lowest, default and highest value.
BUFFERING = {
    "maxItems": (1000, 10_000, 10_000),
    "maxBytes": (262_144, 262_144, 1_048_576),
    "timeoutMs": (25, 1000, 30_000),
}
_SCHEMAS = ("2022-07-01", "2022-12-13", "2025-01-29")
_HOSTS = ("sandbox.localdomain", "sandbox")
_BATCHES, _ATTEMPTS, _SECONDS = 4, 3, 5.0
_SLOW = "Some logs were dropped because the downstream consumer is slower than the logs production rate"


class Telemetry:
    """All records of an environment.

    Args:
        address: Where `sandbox.localdomain` is.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self.subscribed: list[tuple[str, list[str]]] = []  # the names of extensions, and the types
        self._subscriptions: list[Subscription] = []
        self._earlier: list[dict[str, Any]] | None = []  # until the initialization has ended
        self._lock = threading.Lock()

    def publish(self, kind: str, record: Any) -> None:
        """Send a record to the extensions that want such records.

        Args:
            kind: Its type, such as `platform.start`.
            record: What it says.
        """
        item = _item(kind, record)
        with self._lock:
            if self._earlier is not None:
                self._earlier.append(item)
            for one in self._subscriptions:
                one.add(item)

    def subscribe(self, name: str, body: bytes, *, closed: bool) -> None:
        """Take a request to subscribe."""
        if closed:
            text = "Telemetry API subscription is closed already"
            raise Refused(403, "Telemetry.SubscriptionClosed", text)
        types, uri, buffering = _parsed(body)
        subscription = Subscription(types, (self._address, uri.port or 80, uri.path or "/"), buffering)
        with self._lock:
            for item in self._earlier or []:
                subscription.add(item)
            self._subscriptions.append(subscription)
            self.subscribed.append((name, types))
        self.publish("platform.telemetrySubscription", {"name": name, "state": "Subscribed", "types": types})

    def initialized(self) -> None:
        """Keep no more records for extensions that subscribe later."""
        self._earlier = None

    def flush(self) -> None:
        """Send what there is now."""
        for one in self._subscriptions:
            one.flush()

    def close(self) -> None:
        """Send nothing more."""
        for one in self._subscriptions:
            one.close()


class Subscription:
    """The records for one extension, and the thread that sends them."""

    def __init__(self, types: list[str], to: tuple[str, int, str], buffering: dict[str, int]) -> None:
        self._types, self._to, self._buffering = types, to, buffering
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = [0, 0]
        self._first = 0.0
        self._flushing = self._closed = False
        self._changed = threading.Condition()
        threading.Thread(target=self._send_all, daemon=True).start()

    def add(self, item: dict[str, Any]) -> None:
        """Keep a record to send, or drop it if the extension has fallen behind."""
        if item["type"].partition(".")[0] not in self._types:
            return
        line = json.dumps(item).encode()
        with self._changed:
            if self._bytes + len(line) > _BATCHES * self._buffering["maxBytes"]:
                self._dropped[0] += 1
                self._dropped[1] += len(line)
                return
            if not self._waiting:
                self._first = time.monotonic()
            self._waiting.append(line)
            self._bytes += len(line)
            self._changed.notify()

    def flush(self) -> None:
        """Wait for no more records."""
        with self._changed:
            self._flushing = True
            self._changed.notify()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _send_all(self) -> None:
        while batch := self._batch():
            body = b"[" + b",".join(batch) + b"]"
            if not self._post(body):
                self._dropped[0] += len(batch)
                self._dropped[1] += sum(map(len, batch))
            elif self._dropped[0]:
                records, size = self._dropped
                self._dropped = [0, 0]
                said = {"droppedRecords": records, "droppedBytes": size, "reason": _SLOW}
                self.add(_item("platform.logsDropped", said))

    def _batch(self) -> list[bytes]:
        """Wait until a batch is due; an empty one ends the thread."""
        most, limit = self._buffering["maxItems"], self._buffering["maxBytes"]
        with self._changed:
            while not self._closed:
                if self._waiting:
                    left = self._first + self._buffering["timeoutMs"] / 1000 - time.monotonic()
                    if self._flushing or left <= 0 or len(self._waiting) >= most or self._bytes >= limit:
                        break
                    self._changed.wait(left)
                else:
                    self._flushing = False
                    self._changed.wait()
            found: list[bytes] = []
            size = 0
            while self._waiting and len(found) < most and size < limit and not self._closed:
                found.append(self._waiting.popleft())
                size += len(found[-1])
            self._bytes -= size
            self._first = time.monotonic()
            return found

    def _post(self, body: bytes) -> bool:
        host, port, path = self._to
        for attempt in range(_ATTEMPTS):
            if self._closed:
                return False
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection(host, port, timeout=_SECONDS)
                try:
                    connection.request("POST", path, body, {"Content-Type": "application/json"})
                    if connection.getresponse().status < 300:
                        return True
                finally:
                    connection.close()
            time.sleep(0.02 * 2**attempt)
        return False


def _item(kind: str, record: Any) -> dict[str, Any]:
    stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"time": stamp, "type": kind, "record": record}


def _parsed(body: bytes) -> tuple[list[str], urllib.parse.SplitResult, dict[str, int]]:
    """The types, the destination and the buffering of a subscription.

    Raises:
        Refused: It is not valid.
    """

    def refused(text: str) -> Refused:
        return Refused(400, "ValidationError", text)

    try:
        given = json.loads(body)
        types, destination = given["types"], given["destination"]
        uri = urllib.parse.urlsplit(str(destination["URI"]))
        port = uri.port
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise refused(
            f"schemaVersion, types and destination with protocol and URI are required: {error}"
        ) from None
    if given.get("schemaVersion") not in _SCHEMAS:
        raise refused(f"schemaVersion must be one of {', '.join(_SCHEMAS)}")
    if not isinstance(types, list) or not types or any(one not in TYPES for one in types):
        raise refused(f"types must contain some of {', '.join(TYPES)}")
    if destination.get("protocol") != "HTTP":
        raise refused("destination.protocol must be HTTP; the embedded AWS does not have TCP")
    if uri.scheme != "http" or uri.hostname not in _HOSTS or not port:
        raise refused(f"destination.URI must be http://{_HOSTS[0]}:PORT, not {destination['URI']}")
    buffering = given.get("buffering") or {}
    if not isinstance(buffering, dict):
        raise refused(f"buffering must have some of {', '.join(BUFFERING)}")
    wanted = {}
    for name, (low, default, high) in BUFFERING.items():
        wanted[name] = buffering.get(name, default)
        if type(wanted[name]) is not int or not low <= wanted[name] <= high:
            raise refused(f"buffering.{name} must be from {low} to {high}, not {wanted[name]}")
    return types, uri, wanted
