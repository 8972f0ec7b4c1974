"""Deploys a function that suggests spellings, with an agent that shows where its time goes."""

from aws_cdk import RemovalPolicy
from constructs import Construct

from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.permissions import acknowledge
from cdk_lambda_patterns.observability.profiling import ProfiledFunction
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class ProfilingStack(PatternStack):
    """Spelling suggestions, profiled.

    A demonstration: deleting the stack deletes group, profiles and logs (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        profiled = ProfiledFunction(
            self,
            "Suggestions",
            code=pattern_source("observability", "profiling"),
            handler="profiling.handler.handler",
            removal_policy=RemovalPolicy.DESTROY,
        )
        reason = "The agent of CodeGuru Profiler ends at Python 3.13."
        acknowledge(profiled.function, {"AwsSolutions-L1": reason, "Serverless-LambdaLatestVersion": reason})
        self.output("FunctionName", profiled.function.function_name)
        self.output("ProfilingGroupName", profiled.profiling_group.profiling_group_name)
