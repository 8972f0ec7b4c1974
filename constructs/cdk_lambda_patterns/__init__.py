"""AWS CDK constructs for the reference architectures of AWS Lambda.

Every architecture is one module, named by its family and id, for example
``cdk_lambda_patterns.storage.thumbnailer``, which has all of its public names; its family has them as well:
``from cdk_lambda_patterns.storage import Thumbnailer``. Either way, only those parts of ``aws_cdk`` are
loaded that this architecture needs, because each service module of the CDK takes 10 to 150 ms to import.
"""

from cdk_lambda_patterns.core.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)
