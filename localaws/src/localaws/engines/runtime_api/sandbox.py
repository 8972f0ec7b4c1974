"""What an execution environment knows of its runtime, its extensions and the current invocation.

Every request of a process and every end of a process changes something here, and wakes all threads that wait.

Faithful to: who is ready when; which requests are refused, with the errors of the Runtime Interface Emulator,
which AWS publishes; up to ten extensions, external ones by the name of their file, and internal ones, which
get no SHUTDOWN.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-extensions-api.html
https://github.com/aws/aws-lambda-runtime-interface-emulator
"""

from __future__ import annotations

import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_MOST_EXTENSIONS = 10
_EVENTS = {True: ("INVOKE", "SHUTDOWN"), False: ("INVOKE",)}


class Refused(Exception):
    """A request that is refused, with the status, the type and the message of the response."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


@dataclass(frozen=True)
class Fault:
    """Why an environment cannot go on.

    Attributes:
        kind: The error type.
        reason: The text behind `Error:` in the message.
        payload: What the runtime itself reported, which callers get instead.
    """

    kind: str
    reason: str = ""
    payload: bytes | None = None


@dataclass
class Invocation:
    """An invocation.

    Attributes:
        request_id: Its id.
        event: The payload.
        arn: What was invoked.
        deadline: When it times out, in seconds since the epoch.
        headers: More headers for the runtime.
        answer: The response or the error of the runtime.
        failed: Whether it is an error.
        began: When the runtime got it.
    """

    request_id: str
    event: bytes
    arn: str
    deadline: float
    headers: Mapping[str, str] = field(default_factory=dict)
    answer: bytes | None = None
    failed: bool = False
    began: float = 0.0


@dataclass
class Extension:
    """An extension that has registered."""

    name: str
    external: bool
    events: Sequence[str]
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    queue: deque[dict[str, Any]] = field(default_factory=deque)
    ready: bool = False  # it has asked for its next event, and waits
    error: str = ""  # what it has reported, of which it ends


class Sandbox:
    """The state of an environment, from the start of its processes to their end.

    Args:
        function: What extensions learn of the function when they register.
        external: The names of the external extensions.
    """

    def __init__(self, function: Mapping[str, str], external: Sequence[str]) -> None:
        self.function = function
        self.external = external
        self.extensions: dict[str, Extension] = {}
        self.fault: Fault | None = None
        self.initialized = False
        self.closed = False
        self._invocation: Invocation | None = None
        self._fetched = True
        self._runtime_ready = False
        self._changed = threading.Condition()

    # -- what the environment asks and says

    def wait(self, ready: Callable[[], object], until: float) -> bool:
        """Wait until something is so, or there is a fault.

        Args:
            ready: Says whether it is so.
            until: The time after which it is too late, in seconds since the epoch.

        Returns:
            Whether one of both is so.
        """
        with self._changed:
            return bool(self._changed.wait_for(lambda: ready() or self.fault, max(0.0, until - time.time())))

    def registered(self) -> bool:
        """Whether all external extensions have registered."""
        return {one.name for one in self.extensions.values()} >= set(self.external)

    def ready(self) -> bool:
        """Whether the runtime and all extensions wait for an event: the environment is free."""
        return (
            self._runtime_ready
            and self.registered()
            and all(one.ready and not one.queue for one in self.extensions.values())
        )

    def begin(self, invocation: Invocation) -> None:
        """Give an invocation to the runtime, and tell the extensions."""
        event = {
            "eventType": "INVOKE",
            "deadlineMs": int(invocation.deadline * 1000),
            "requestId": invocation.request_id,
            "invokedFunctionArn": invocation.arn,
            "tracing": {
                "type": "X-Amzn-Trace-Id",
                "value": invocation.headers.get("Lambda-Runtime-Trace-Id", ""),
            },
        }
        with self._changed:
            self.initialized = True
            self._invocation, self._fetched = invocation, False
            self._tell(event)

    def shut_down(self, reason: str, deadline: float) -> None:
        """Tell the external extensions that the environment ends."""
        event = {"eventType": "SHUTDOWN", "shutdownReason": reason, "deadlineMs": int(deadline * 1000)}
        with self._changed:
            self.closed = True
            self._tell(event)

    def fail(self, fault: Fault) -> None:
        """Remember what ends the environment; the first of several reasons counts."""
        with self._changed:
            if not self.closed:
                self.fault = self.fault or fault
            self._changed.notify_all()

    def end(self) -> None:
        """Let no request wait any longer."""
        with self._changed:
            self.closed = True
            for one in self.extensions.values():
                one.queue.clear()
            self.extensions = {}
            self._changed.notify_all()

    def _tell(self, event: dict[str, Any]) -> None:
        for one in self.extensions.values():
            if event["eventType"] in one.events:
                one.queue.append(event)
        self._changed.notify_all()

    # -- requests of the runtime

    def next_invocation(self) -> Invocation | None:
        """Wait for the next invocation; None if the environment ends."""
        with self._changed:
            self._runtime_ready = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.closed or not self._fetched)
            if self.closed:
                return None
            self._runtime_ready, self._fetched = False, True
            return self._invocation

    def answer(self, request_id: str, body: bytes, *, failed: bool) -> None:
        """Take the response or the error of the current invocation."""
        with self._changed:
            current = self._invocation
            if current is None or current.request_id != request_id or current.answer is not None:
                raise Refused(400, "InvalidRequestID", "Invalid request ID")
            current.failed, current.answer = failed, body
            self._changed.notify_all()

    def truncated(self, request_id: str) -> None:
        """Fail the current invocation, because its response broke off."""
        current = self._invocation
        if current and current.request_id == request_id and current.answer is None:
            self.fail(Fault("Runtime.TruncatedResponse", "Response is truncated"))

    def init_error(self, kind: str, body: bytes) -> None:
        """Take the error of an initialization."""
        if self.initialized:
            raise Refused(403, "InvalidStateTransition", "The runtime has been initialized")
        self.fail(Fault(kind or "Runtime.Unknown", payload=body))

    # -- requests of extensions

    def register(self, name: str, events: Sequence[str]) -> Extension:
        """Take up an extension."""
        external = name in self.external
        for event in events:
            if event not in _EVENTS[external]:
                raise Refused(
                    403, "Extension.InvalidEventType", f"{event}: ValidationError: unexpected event"
                )
        with self._changed:
            if self.initialized or self.closed:
                raise Refused(403, "Extension.RegistrationClosed", "Extension registration closed already")
            if any(one.name == name for one in self.extensions.values()):
                text = "Extension with this name already registered"
                raise Refused(403, "Extension.InvalidExtensionState", text)
            if len(self.extensions) >= _MOST_EXTENSIONS:
                text = f"Extension limit ({_MOST_EXTENSIONS}) reached"
                raise Refused(403, "Extension.TooManyExtensions", text)
            found = Extension(name, external, events)
            self.extensions[found.id] = found
            self._changed.notify_all()
            return found

    def extension(self, identifier: str | None) -> Extension:
        """The extension that a request is from."""
        if not identifier:
            text = "Missing Lambda-Extension-Identifier header"
            raise Refused(403, "Extension.MissingExtensionIdentifier", text)
        try:
            uuid.UUID(identifier)
        except ValueError:
            text = "Invalid Lambda-Extension-Identifier"
            raise Refused(403, "Extension.InvalidExtensionIdentifier", text) from None
        if identifier not in self.extensions:
            raise Refused(403, "Extension.UnknownExtensionIdentifier", f"Unknown extension {identifier}")
        return self.extensions[identifier]

    def next_event(self, extension: Extension) -> dict[str, Any] | None:
        """Wait for the next event of an extension; None if the environment ends."""
        with self._changed:
            extension.ready = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: extension.queue or extension.id not in self.extensions)
            if not extension.queue:
                return None
            extension.ready = False
            return extension.queue.popleft()
