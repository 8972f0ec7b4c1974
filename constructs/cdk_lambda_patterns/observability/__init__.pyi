from cdk_lambda_patterns.observability.tracing import SamplingRule as SamplingRule
from cdk_lambda_patterns.observability.tracing import Tracing as Tracing
