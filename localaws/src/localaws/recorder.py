"""Records which properties of a template were accepted and never read, and so have no effect.

The emulator's CloudFormation handlers get the properties of a resource as a dict. Here they get a dict that
records what is read. The result is measured, not a list that has to be maintained.

Faithful to: every handler, of the emulator and of bridges, for create and update. `get`, `[]`, `pop`,
`items`, `values` and copies (`dict(props)`, `**props`, `json.dumps`) are reads; tests for a key (`in`,
`keys`) are not. A nested property is reported (`AWS::DynamoDB::Table.SSESpecification.KMSMasterKeyId`) if its
siblings were read individually and it was not. A nested value without individual reads was used as a whole,
and counts as read.
Not to: a property that is read may still have no effect, which only tests of behaviour can show.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Handlers = dict[str, Any]


@dataclass(frozen=True, order=True)
class Dropped:
    """A property of a resource that was accepted and never read.

    Attributes:
        stack: Name of the stack.
        logical_id: Logical id of the resource in its template.
        type: The resource's CloudFormation type, such as `AWS::Lambda::Function`.
        property: The property's path, such as `DeadLetterConfig` or `SSESpecification.KMSMasterKeyId`.
    """

    stack: str
    logical_id: str
    type: str
    property: str

    def __str__(self) -> str:
        """The name in lists of accepted properties: `TYPE.Property`."""
        return f"{self.type}.{self.property}"


class RecordingDict(dict[str, Any]):
    """A dict that records which of its keys are read, and whose nested dicts do the same."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__({key: recording(value) for key, value in values.items()})
        self.present = frozenset(values)
        self.read: set[str] = set()
        self.recording = True

    def _note(self, key: object) -> None:
        if self.recording and isinstance(key, str):
            self.read.add(key)

    def _note_all(self) -> None:
        if self.recording:
            self.read |= self.present

    def __getitem__(self, key: str) -> Any:
        self._note(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, and record the read."""
        self._note(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        """Remove and return the value, and record the read."""
        self._note(key)
        return super().pop(key, *default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value, and record the read."""
        self._note(key)
        return super().setdefault(key, default)

    def items(self) -> Any:
        """Return all pairs, and record that all were read."""
        self._note_all()
        return super().items()

    def values(self) -> Any:
        """Return all values, and record that all were read."""
        self._note_all()
        return super().values()

    def __iter__(self) -> Iterator[str]:
        # Overridden so that dict(self) and {**self} go through __getitem__ instead of copying the table.
        return super().__iter__()

    def copy(self) -> dict[str, Any]:
        """Return a plain dict of the same values, and record that all were read."""
        self._note_all()
        return {key: super(RecordingDict, self).__getitem__(key) for key in self}

    def __copy__(self) -> dict[str, Any]:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: copy.deepcopy(value, memo) for key, value in self.copy().items()}

    def __or__(self, other: Any) -> Any:
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self.copy(),)

    def stop(self) -> list[str]:
        """Stop recording, also in nested dicts, and return the paths that were present and never read."""
        self.recording = False
        dropped = sorted(self.present - self.read)
        for key, value in super().items():
            for child in _recording_children(value):
                below = child.stop()
                # Without individual reads, the value was used as a whole, or not at all, as `key` shows.
                if key in self.read and child.read:
                    dropped += [f"{key}.{path}" for path in below]
        return sorted(set(dropped))


def recording(value: Any) -> Any:
    """Return the value with recording dicts in place of all dicts."""
    if isinstance(value, dict):
        return RecordingDict(value)
    if isinstance(value, list):
        return [recording(item) for item in value]
    return value


def _recording_children(value: Any) -> Iterator[RecordingDict]:
    if isinstance(value, RecordingDict):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from _recording_children(item)


class Report:
    """The properties that were dropped since the last reset. Handlers run in several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dropped: dict[tuple[str, str, str], set[str]] = {}

    def created(self, stack: str, logical_id: str, type_: str, dropped: list[str]) -> None:
        """Store the result of a create, which replaces earlier results of the resource."""
        with self._lock:
            self._dropped[stack, logical_id, type_] = set(dropped)

    def updated(self, stack: str, logical_id: str, type_: str, dropped: list[str], changed: set[str]) -> None:
        """Store the result of an update, which replaces earlier results of the properties that changed."""
        with self._lock:
            known = self._dropped.setdefault((stack, logical_id, type_), set())
            known -= {path for path in known if path.partition(".")[0] in changed}
            known |= {path for path in dropped if path.partition(".")[0] in changed}

    def clear(self) -> None:
        """Remove all results."""
        with self._lock:
            self._dropped.clear()

    def dropped(self) -> list[Dropped]:
        """Return all that was dropped, sorted."""
        with self._lock:
            return sorted(Dropped(*key, path) for key, paths in self._dropped.items() for path in paths)


report = Report()


def recorded(type_: str, handler: Handlers) -> Handlers:
    """Return the handlers of a type, as the emulator registers them, so that they record what they read."""
    recorded = dict(handler)
    if "create" in handler:
        recorded["create"] = _recorded_create(type_, handler["create"])
    if "update" in handler:
        recorded["update"] = _recorded_update(
            type_, handler["update"], passes_logical_id=bool(handler.get("update_with_logical_id"))
        )
        recorded["update_with_logical_id"] = True
    return recorded


def _recorded_create(type_: str, create: Callable[..., Any]) -> Callable[..., Any]:
    def create_and_record(logical_id: str, props: dict[str, Any], stack: str) -> Any:
        watched = RecordingDict(props)
        try:
            return create(logical_id, watched, stack)
        finally:
            report.created(stack, logical_id, type_, watched.stop())

    return create_and_record


def _recorded_update(
    type_: str, update: Callable[..., Any], *, passes_logical_id: bool
) -> Callable[..., Any]:
    def update_and_record(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str, logical_id: str
    ) -> Any:
        watched = RecordingDict(new)
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        try:
            return update(physical_id, old, watched, stack, *([logical_id] if passes_logical_id else []))
        finally:
            report.updated(stack, logical_id, type_, watched.stop(), changed)

    return update_and_record
