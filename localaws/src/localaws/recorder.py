"""Records which properties of a template were accepted and then never read: honesty by measurement.

The emulator's CloudFormation handlers get a resource's properties as a dict. Here they get one that notes
what is read; what never was, was ignored. This is not a list kept by hand, so it cannot become stale.

Faithful to: every handler in the emulator's table, stock or bridged, for create and update. `get`, `[]`,
`pop`, `items`, `values` and whole copies (`dict(props)`, `**props`, `json.dumps`) are reads; asking only
whether a key is there (`in`, `keys`) is none. Below the top level a sub-property is reported
(`AWS::DynamoDB::Table.SSESpecification.KMSMasterKeyId`) when its neighbours were read one by one and it
was not; a nested value that nobody looked into was taken as a whole, and counts as read.

Not faithful to: a property that is read may still do nothing. Tests of behaviour prove that, not this.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

from localaws.recording import Dropped

Handlers = dict[str, Any]


class RecordingDict(dict[str, Any]):
    """A dict that notes which of its keys are read, and whose nested dicts do the same."""

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
        """Return the value, and note that it was asked for."""
        self._note(key)
        return super().get(key, default)

    def pop(self, key: str, *default: Any) -> Any:
        """Take the value out, and note that it was asked for."""
        self._note(key)
        return super().pop(key, *default)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value, and note that it was asked for."""
        self._note(key)
        return super().setdefault(key, default)

    def items(self) -> Any:
        """Return all pairs, and note that all were read."""
        self._note_all()
        return super().items()

    def values(self) -> Any:
        """Return all values, and note that all were read."""
        self._note_all()
        return super().values()

    def __iter__(self) -> Iterator[str]:
        # Overridden so that dict(self) and {**self} go through __getitem__ instead of copying the table.
        return super().__iter__()

    def copy(self) -> dict[str, Any]:
        """Return a plain dict of the same values, and note that all were read."""
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
        """Stop recording, here and below, and return the paths of what was present and never read."""
        self.recording = False
        dropped = sorted(self.present - self.read)
        for key, value in super().items():
            for child in _recording_children(value):
                below = child.stop()
                # Nothing read one by one: taken as a whole, or not at all, which the key itself says.
                if key in self.read and child.read:
                    dropped += [f"{key}.{path}" for path in below]
        return sorted(set(dropped))


def recording(value: Any) -> Any:
    """Return the value with every dict in it replaced by one that records."""
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
    """What was dropped since the last reset. Handlers run on several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._dropped: dict[tuple[str, str, str], set[str]] = {}

    def created(self, stack: str, logical_id: str, type_: str, dropped: list[str]) -> None:
        """Note the outcome of a create, in place of what was known of that resource."""
        with self._lock:
            self._dropped[stack, logical_id, type_] = set(dropped)

    def updated(self, stack: str, logical_id: str, type_: str, dropped: list[str], changed: set[str]) -> None:
        """Note the outcome of an update: it answers for the properties that changed, and only for those."""
        with self._lock:
            known = self._dropped.setdefault((stack, logical_id, type_), set())
            known -= {path for path in known if path.partition(".")[0] in changed}
            known |= {path for path in dropped if path.partition(".")[0] in changed}

    def clear(self) -> None:
        """Forget everything."""
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
