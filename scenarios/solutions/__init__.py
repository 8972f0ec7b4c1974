"""Scenarios of the whole applications."""
