"""Streams: architectures that read what a stream keeps, in order."""
