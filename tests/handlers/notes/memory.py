"""Notes in memory, for the tests of what uses the table."""

from __future__ import annotations

from collections.abc import Sequence

from notes.note import Note
from notes.table import NotesTable


class NotesInMemory(NotesTable):
    """The table's methods over a dictionary. The tests of the table run over both, so that they agree."""

    def __init__(self) -> None:
        super().__init__(client=None, table="", index="")
        object.__setattr__(self, "_notes", {})

    _notes: dict[str, Note]

    def get(self, name: str) -> Note | None:
        """Return a note."""
        return self._notes.get(name)

    def put(self, note: Note) -> bool:
        """Write a note, and return whether its name is new."""
        is_new = self._notes.get(note.name) in (None, note)
        self._notes[note.name] = note
        return is_new

    def delete(self, name: str) -> bool:
        """Delete a note, and return whether it existed."""
        return self._notes.pop(name, None) is not None

    def list(self, tags: Sequence[str], *, limit: int, newest_first: bool) -> Sequence[Note]:
        """Return the first notes, by time, that have all of these tags."""
        found = [note for note in self._notes.values() if set(tags) <= set(note.tags)]
        found.sort(key=lambda note: note.updated_at, reverse=newest_first)
        return found[:limit]
