"""Notes in memory, for the tests of what is in front of the table."""

from __future__ import annotations

from typing import Any

from tests.handlers.loading import LoadedHandler


class NotesInMemory:
    """What `notes.Notes` asks for. The tests of the table run over this too, so that the two do the same."""

    def __init__(self, loaded: LoadedHandler) -> None:
        self._modules = loaded
        self._notes: dict[str, Any] = {}

    def get(self, name: str) -> Any:
        """Return a note."""
        return self._notes.get(name)

    def put(self, note: Any, *, expected: Any) -> bool:
        """Write a note; return whether it is a new one."""
        self._check(note.summary.name, expected)
        is_new = note.summary.name not in self._notes
        self._notes[note.summary.name] = note
        return is_new

    def delete(self, name: str, *, expected: Any) -> bool:
        """Delete a note; return whether there was one."""
        self._check(name, expected)
        return self._notes.pop(name, None) is not None

    def page(self, *, tags: tuple[str, ...], limit: int, newest_first: bool, after: Any) -> Any:
        """Return notes that have all of these tags."""
        found = sorted(
            (note.summary.updated_at, note.summary.name)
            for note in self._notes.values()
            if set(tags) <= set(note.summary.tags)
        )
        if newest_first:
            found.reverse()
        if after is not None:
            found = [one for one in found if (one < after if newest_first else one > after)]
        page = [self._notes[name].summary for _, name in found[:limit]]
        return self._modules.notes.Page(tuple(page), found[limit - 1] if len(found) > limit else None)

    def _check(self, name: str, expected: Any) -> None:
        there = self._notes.get(name)
        etag = there.summary.etag if there else None
        absent = expected.absent and there is not None
        other = expected.etags and ("*" not in expected.etags or there is None) and etag not in expected.etags
        if absent or other:
            raise self._modules.errors.PreconditionFailed("not what is expected")
