from cdk_lambda_patterns.core.function import HardenedFunction as HardenedFunction
from cdk_lambda_patterns.core.network import PrivateNetwork as PrivateNetwork
from cdk_lambda_patterns.core.options import AsyncOptions as AsyncOptions
from cdk_lambda_patterns.core.options import FunctionOptions as FunctionOptions
from cdk_lambda_patterns.core.options import ImageFunctionOptions as ImageFunctionOptions
from cdk_lambda_patterns.core.options import LogOptions as LogOptions
from cdk_lambda_patterns.core.options import NetworkOptions as NetworkOptions
