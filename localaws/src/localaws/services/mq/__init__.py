"""Bridges of Amazon MQ."""
