"""Scenarios of the architectures that bring new versions to their callers."""
