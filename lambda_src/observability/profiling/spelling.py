"""How alike two words are spelled: what takes the time, and what a profile shows."""

from collections.abc import Iterable

_MOST = 3


def nearest(word: str, dictionary: Iterable[str]) -> list[str]:
    """The three words of a dictionary with the fewest edits from a word; of equals, the first."""
    return sorted(set(dictionary), key=lambda one: (distance(word, one), one))[:_MOST]


def distance(first: str, second: str) -> int:
    """The letters to insert, remove or replace to make one word of the other (Levenshtein)."""
    row = list(range(len(second) + 1))
    for place, letter in enumerate(first, 1):
        diagonal, row[0] = row[0], place
        for column, other in enumerate(second, 1):
            edits = min(diagonal + (letter != other), row[column] + 1, row[column - 1] + 1)
            diagonal, row[column] = row[column], edits
    return row[-1]
