"""Scenarios of the architectures that answer HTTP requests."""
