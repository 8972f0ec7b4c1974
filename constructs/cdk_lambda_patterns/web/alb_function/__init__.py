"""HTTP request → Application Load Balancer → Lambda."""

from cdk_lambda_patterns.web.alb_function.construct import AlbFunction
from cdk_lambda_patterns.web.alb_function.options import AlbHealthCheck, AlbOptions, AlbRule

__all__ = [
    "AlbFunction",
    "AlbHealthCheck",
    "AlbOptions",
    "AlbRule",
]
