"""Events: architectures in which schedules, buses and other services' events invoke functions."""

from cdk_lambda_patterns.core.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
