"""Delivery: architectures that bring a new version of a function to its callers."""
