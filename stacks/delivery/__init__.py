"""Stacks of the family delivery: how a new version of a function reaches its callers."""
