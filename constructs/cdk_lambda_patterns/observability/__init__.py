"""Alarms, traces, profiles and the remaining hooks."""

from cdk_lambda_patterns.core.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
