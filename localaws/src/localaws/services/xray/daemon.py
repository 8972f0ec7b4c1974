"""The daemon that functions send their segments to, as datagrams.

Each function has an address of its own, so that its segments count as those of its role.

Faithful to: the protocol, with a header line before each document; documents of X-Ray, and spans of
OpenTelemetry (`T1S` and base64), which AWS's distribution sends to a function's daemon; there is no answer.
What the role may not put (`xray:PutTraceSegments`), and what X-Ray does not accept, is lost, and the log says
so. Spans of executions that are not sampled (`T1U`) are dropped: they are for Transaction Search.
Not to: metrics (`M1`), which are dropped; the daemon's proxy for sampling rules.

https://docs.aws.amazon.com/xray/latest/devguide/xray-api-sendingdata.html#xray-api-daemon
https://github.com/aws-observability/aws-otel-python-instrumentation
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import selectors
import socket
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ministack.core.responses import request_scope

from localaws.patching import on_reset
from localaws.services.iam.roles import role_allows
from localaws.services.xray import otlp, segments
from localaws.services.xray.segments import Document, Unprocessed

logger = logging.getLogger("localaws.xray")

_LARGEST = 1 << 16
_SAMPLED = b"T1S"
_IGNORED = (b"T1U", b"M1")


@dataclass(frozen=True)
class _Owner:
    """A function, and what its segments are checked with."""

    arn: str
    role: str


_lock = threading.Lock()
_sockets: dict[_Owner, socket.socket] = {}
_selector = selectors.DefaultSelector()
_thread: threading.Thread | None = None


def address_of(config: dict[str, Any]) -> str:
    """The address that a function sends to: `host:port`."""
    global _thread
    owner = _Owner(":".join(config["FunctionArn"].split(":")[:7]), config["Role"])
    with _lock:
        found = _sockets.get(owner)
        if found is None:
            found = _sockets[owner] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            found.bind(("127.0.0.1", 0))
            found.setblocking(False)
            _selector.register(found, selectors.EVENT_READ, owner)
            if _thread is None:
                _thread = threading.Thread(target=_listen, daemon=True, name="localaws-xray")
                _thread.start()
        return "{}:{}".format(*found.getsockname())


@on_reset
def _close() -> None:
    with _lock:
        for one in _sockets.values():
            _selector.unregister(one)
            one.close()
        _sockets.clear()


def _listen() -> None:
    while True:
        for key, _ in _selector.select(timeout=0.5):
            try:
                with _lock:
                    data = key.fileobj.recv(_LARGEST)  # type: ignore[union-attr]
            except OSError:  # a reset has closed it
                continue
            try:
                receive(key.data.arn, key.data.role, data)
            except Exception:  # the next datagram is another one's
                logger.exception("%s: a datagram was lost", key.data.arn)


def receive(function: str, role: str, data: bytes) -> None:
    """Take a datagram of a function."""
    try:
        found = list(_documents(data))
    except (ValueError, Unprocessed) as error:
        logger.warning("%s: X-Ray does not accept what it sent: %s", function, error)
        return
    put(function, role, found)


def put(function: str, role: str, documents: Iterable[Document]) -> None:
    """Store the documents of a function, if its role may."""
    region, account = function.split(":")[3:5]
    with request_scope(account, region):
        if not role_allows(role, "xray:PutTraceSegments", "*"):
            logger.warning("%s: its role may not put segments; they are lost", function)
            return
        for document in documents:
            segments.put(document)


def _documents(data: bytes) -> Iterable[Document]:
    header, separator, body = data.partition(b"\n")
    said = json.loads(header)
    if not separator or said != {"format": "json", "version": 1}:
        raise ValueError("a datagram begins with a line {'format': 'json', 'version': 1}")
    if body.startswith(_IGNORED):
        return []
    if not body.startswith(_SAMPLED):
        return [segments.read(body.decode())]
    try:
        return list(otlp.documents(base64.b64decode(body[len(_SAMPLED) :], validate=True)))
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from None
