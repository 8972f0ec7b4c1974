"""The words of a dictionary, and those that are most like a given word: `cpp/spelling.hpp` in Python."""

from pathlib import Path

_MAX_DISTANCE = 2


class NoDictionary(Exception):
    """There are no words: the layer that brings them is missing."""


def distance(one: str, other: str) -> int:
    """Return how many characters have to be inserted, deleted or replaced."""
    row = list(range(len(other) + 1))
    for i, character in enumerate(one, 1):
        diagonal, row[0] = row[0], i
        for j, wanted in enumerate(other, 1):
            replaced = diagonal + (character != wanted)
            diagonal = row[j]
            row[j] = min(replaced, row[j] + 1, row[j - 1] + 1)
    return row[-1]


class Dictionary:
    """Words of a folder.

    Args:
        folder: Its ``.txt`` files have a word on each line.

    Raises:
        NoDictionary: They have none, or there is no such folder.
    """

    def __init__(self, folder: str) -> None:
        lines = [line.strip() for file in Path(folder).glob("*.txt") for line in file.open(encoding="utf-8")]
        self._words = sorted(filter(None, lines))
        if not self._words:
            raise NoDictionary(f"{folder} has no words: add a layer that has")

    def nearest(self, word: str) -> str | None:
        """Return the first of the words that are most like a word; ``None`` if all are too different."""
        best, least = None, _MAX_DISTANCE + 1
        for known in self._words:
            if abs(len(known) - len(word)) < least and (found := distance(word, known)) < least:
                best, least = known, found
        return best
