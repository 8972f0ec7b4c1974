"""Scenarios of the architectures that react to objects in S3."""
