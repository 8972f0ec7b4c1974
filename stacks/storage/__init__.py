"""Stacks of the family storage: object events."""
