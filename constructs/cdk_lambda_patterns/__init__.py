"""AWS CDK constructs for the reference architectures of AWS Lambda.

Every architecture is one module, named by its family and id, for example
``cdk_lambda_patterns.storage.thumbnailer``. Importing it loads only the parts of ``aws_cdk`` that this
architecture needs, because each service module of the CDK costs 10 to 150 ms to import.
"""

from cdk_lambda_patterns.function import HardenedFunction
from cdk_lambda_patterns.options import FunctionOptions

__all__ = ["FunctionOptions", "HardenedFunction"]
