"""Faults that a test asks for: API calls that fail or are slow, functions that die, queues that repeat.

`Faults` is the side of the test; `rules` decides on the side of the server, where bridges ask it.
"""

from localaws.faults.client import Fault, Faults

__all__ = ["Fault", "Faults"]
