"""Records which properties of a template were accepted and are never read, and so have no effect.

The emulator's CloudFormation handlers get the properties of a resource as a dict. Here they get a dict
that records what is read. The result is measured, and completed by what bridges declare.

Faithful to: every handler, of the emulator and of bridges, for create and update. `get`, `[]`, `pop`,
`items`, `values` and copies (`dict(props)`, `**props`, `json.dumps`) are reads; tests for a key (`in`,
`keys`) are not. A nested property is reported (`AWS::DynamoDB::Table.SSESpecification.KMSMasterKeyId`) if
its siblings were read individually and it was not. A nested value without individual reads was used as a
whole, and counts as read. A nested value that the handler stores is watched further: what is read later
counts, and a key that is asked for in other letters only (`allowOrigins` for `AllowOrigins`) is reported.
Not to: a property that is read may still have no effect. A handler may store a single value, a copy or a
whole dict where it is never used. Bridges declare what is known of this kind (`patching.recorded_only`).
"""

from __future__ import annotations

import copy
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from localaws import patching

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
        #: The keys that were read, and those that were asked for and are not there.
        self.read: set[str] = set()
        self.missed: set[str] = set()

    def _note(self, key: object) -> None:
        if isinstance(key, str):
            (self.read if key in self.present else self.missed).add(key)

    def _note_all(self) -> None:
        self.read |= self.present

    def is_misread(self, key: str) -> bool:
        """Whether the key was asked for in other letters only."""
        return key not in self.read and key.lower() in {one.lower() for one in tuple(self.missed)}

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

    def unread(self, prefix: str = "") -> Iterator[Unread]:
        """What is below and was not read, each with the dict that it is a key of.

        A nested dict without individual reads was used as a whole, or not at all, as its key shows.
        """
        for key in sorted(self.present - self.read):
            yield Unread(prefix + key, key, weakref.ref(self), whole=bool(prefix) and not self.read)
        for key, value in super().items():
            if key in self.read:
                for child in _recording_children(value):
                    yield from child.unread(f"{prefix}{key}.")


@dataclass(frozen=True)
class Unread:
    """A property that was not read while its resource was created or updated.

    Attributes:
        path: Its path.
        key: The last part of the path.
        holder: The dict that it is a key of, if that is still in use.
        whole: Whether no other key of that dict was read either.
    """

    path: str
    key: str
    holder: Callable[[], RecordingDict | None]
    whole: bool

    @property
    def is_stored(self) -> bool:
        """Whether the dict is still in use, and the key may be read later."""
        return "." in self.path and self.holder() is not None

    @property
    def is_dropped(self) -> bool:
        """Whether it has not been read by now, although the dict is in use."""
        holder = self.holder()
        if holder is None or self.key in holder.read:  # the resource is gone, or it was read later
            return False
        return not self.whole or holder.is_misread(self.key)


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
        self._stored: dict[tuple[str, str, str], list[Unread]] = {}

    def created(self, stack: str, logical_id: str, type_: str, unread: list[Unread]) -> None:
        """Store the result of a create, which replaces earlier results of the resource."""
        dropped, stored = _sorted_out(unread)
        with self._lock:
            self._dropped[stack, logical_id, type_] = dropped
            self._stored[stack, logical_id, type_] = stored

    def updated(
        self, stack: str, logical_id: str, type_: str, unread: list[Unread], changed: set[str]
    ) -> None:
        """Store the result of an update, which replaces earlier results of the properties that changed."""
        dropped, stored = _sorted_out(unread)
        resource = stack, logical_id, type_
        with self._lock:
            known = {path for path in self._dropped.get(resource, ()) if _top(path) not in changed}
            self._dropped[resource] = known | {path for path in dropped if _top(path) in changed}
            still = [one for one in self._stored.get(resource, ()) if _top(one.path) not in changed]
            self._stored[resource] = still + [one for one in stored if _top(one.path) in changed]

    def clear(self) -> None:
        """Remove all results."""
        with self._lock:
            self._dropped.clear()
            self._stored.clear()

    def dropped(self) -> list[Dropped]:
        """Return all that was dropped, sorted."""
        with self._lock:
            found = {Dropped(*key, path) for key, paths in self._dropped.items() for path in paths}
            for key, stored in self._stored.items():
                found |= {Dropped(*key, one.path) for one in stored if one.is_dropped}
            return sorted(found)


def _sorted_out(unread: list[Unread]) -> tuple[set[str], list[Unread]]:
    """The paths that can no longer be read, and the rest, once the handler has returned."""
    stored = [one for one in unread if one.is_stored]
    return {one.path for one in unread if not one.is_stored and not one.whole}, stored


def _top(path: str) -> str:
    return path.partition(".")[0]


report = Report()


def _declared(type_: str, properties: RecordingDict) -> Iterator[Unread]:
    """What is in the properties and bridges declare to be recorded only."""
    for path, applies in patching.declared_as_recorded(type_):
        if _has(properties, path.split(".")) and applies(dict.copy(properties)):
            yield Unread(path, path.rpartition(".")[2], lambda: None, whole=False)


def _has(value: Any, keys: list[str]) -> bool:
    if isinstance(value, list):
        return any(_has(item, keys) for item in value)
    if not keys:
        return True
    return isinstance(value, dict) and keys[0] in value and _has(dict.get(value, keys[0]), keys[1:])


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
        made = create(logical_id, watched, stack)  # a resource that was refused has ignored nothing
        unread = [*watched.unread(), *_declared(type_, watched)]
        del watched  # so that only what the handler has stored is left
        report.created(stack, logical_id, type_, unread)
        return made

    return create_and_record


def _recorded_update(
    type_: str, update: Callable[..., Any], *, passes_logical_id: bool
) -> Callable[..., Any]:
    def update_and_record(
        physical_id: str, old: dict[str, Any], new: dict[str, Any], stack: str, logical_id: str
    ) -> Any:
        watched = RecordingDict(new)
        changed = {key for key in old.keys() | new.keys() if old.get(key) != new.get(key)}
        made = update(physical_id, old, watched, stack, *([logical_id] if passes_logical_id else []))
        unread = [*watched.unread(), *_declared(type_, watched)]
        del watched
        report.updated(stack, logical_id, type_, unread, changed)
        return made

    return update_and_record
