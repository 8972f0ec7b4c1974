"""Synchronous invocation: architectures that begin with a request, over HTTP or with the SDK."""

from cdk_lambda_patterns.core.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
