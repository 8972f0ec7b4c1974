"""Deployable stacks, one for each architecture of the catalogue."""
