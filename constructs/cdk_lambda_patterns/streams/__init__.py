"""Streams: architectures that read a stream in order."""
