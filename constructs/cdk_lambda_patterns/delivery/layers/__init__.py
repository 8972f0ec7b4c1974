"""Lock file → layer with dependencies → functions; C++ → bootstrap → function with a custom runtime.

https://docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-custom.html
"""

from cdk_lambda_patterns.delivery.layers.custom_runtime import CustomRuntimeFunction as CustomRuntimeFunction
from cdk_lambda_patterns.delivery.layers.dependencies import DependenciesLayer as DependenciesLayer
