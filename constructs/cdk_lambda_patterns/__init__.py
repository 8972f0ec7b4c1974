"""AWS CDK constructs for the reference architectures of AWS Lambda.

Every architecture is one module, named by its family and id, for example
``cdk_lambda_patterns.storage.thumbnailer``, which has all of its public names. Importing it loads only the
parts of ``aws_cdk`` that this architecture needs, because each service module of the CDK costs 10 to 150 ms
to import.
"""

from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, LogOptions, NetworkOptions

__all__ = [
    "AsyncOptions",
    "FunctionOptions",
    "HardenedFunction",
    "LogOptions",
    "NetworkOptions",
    "PrivateNetwork",
]
