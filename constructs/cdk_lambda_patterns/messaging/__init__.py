"""Messaging: architectures that begin with a queue or a topic."""
