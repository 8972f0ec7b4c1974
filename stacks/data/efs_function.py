"""Deploys two functions that share a journal and a model on one file system."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_efs as efs
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.network import PrivateNetwork
from cdk_lambda_patterns.data.efs_function import EfsFunction
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class EfsFunctionStack(PatternStack):
    """A function that makes the file system, and another one that uses the same access point.

    A demonstration: deleting the stack deletes the files, which have no backups
    (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        network = PrivateNetwork(self, "Network")
        options = FunctionOptions(timeout=Duration.seconds(10))
        readings = EfsFunction(
            self,
            "Readings",
            code=pattern_source("data", "efs_function"),
            handler="efs_function.handler.handler",
            network=network,
            enable_automatic_backups=False,
            lifecycle_policy=efs.LifecyclePolicy.AFTER_30_DAYS,
            function_options=options,
            removal_policy=RemovalPolicy.DESTROY,
        )
        other = EfsFunction(
            self,
            "Other",
            code=pattern_source("data", "efs_function"),
            handler="efs_function.handler.handler",
            network=network,
            access_point=readings.access_point,
            function_options=options,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.output("FunctionName", readings.function.function_name)
        self.output("OtherFunctionName", other.function.function_name)
        self.output("FileSystemId", readings.file_system.file_system_id)
