"""Scenarios of the architectures that read streams."""
