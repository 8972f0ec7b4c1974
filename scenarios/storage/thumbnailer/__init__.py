"""Photographs and malicious files → a deployed thumbnailer → thumbnails, rows, failure messages."""

from scenarios.storage.thumbnailer.scenario import (
    ACCEPTED_NOT_EMULATED,
    EVENT,
    ROLES,
    drill,
    leftovers,
    run,
    smoke,
)

__all__ = ["ACCEPTED_NOT_EMULATED", "EVENT", "ROLES", "drill", "leftovers", "run", "smoke"]
