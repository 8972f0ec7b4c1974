"""Stacks of the family streams."""
