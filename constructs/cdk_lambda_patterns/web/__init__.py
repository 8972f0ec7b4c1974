"""Synchronous invocation over HTTP: architectures that begin with a request."""
