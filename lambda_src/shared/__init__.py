"""Modules that several handlers import. Each function that imports them gets a copy."""
