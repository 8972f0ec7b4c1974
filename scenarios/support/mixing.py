"""Mixes sequences at random, as concurrent senders do."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def interleaved(sequences: Iterable[Sequence[T]], chance: random.Random) -> list[T]:
    """Return all elements in random order, except that those of one sequence stay in order.

    Example:
        >>> interleaved(["ab", "xyz"], random.Random(7))
        ['x', 'a', 'y', 'b', 'z']
    """
    given = list(sequences)
    turns = [index for index, sequence in enumerate(given) for _ in sequence]
    chance.shuffle(turns)
    left = [iter(sequence) for sequence in given]
    return [next(left[index]) for index in turns]
