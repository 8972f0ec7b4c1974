"""Deploys a function that logs orders, with the extension that ships its log."""

from aws_cdk import Duration, RemovalPolicy, Size
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.delivery.extension import LogShippingExtension
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class ExtensionStack(PatternStack):
    """Orders that are logged, and the bucket with their log.

    A demonstration: records wait two seconds at most, the buffer is small, all invocations use one
    environment, and deleting the stack deletes the logs (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        function = HardenedFunction(
            self,
            "Orders",
            code=pattern_source("delivery", "extension"),
            handler="extension.handler.handler",
            description="Logs the items of an order",
            options=FunctionOptions(
                memory_size=512, timeout=Duration.seconds(20), reserved_concurrent_executions=1
            ),
            removal_policy=RemovalPolicy.DESTROY,
        )
        shipping = LogShippingExtension(
            self,
            "Shipping",
            max_age=Duration.seconds(2),
            buffer_size=Size.kibibytes(256),
            removal_policy=RemovalPolicy.DESTROY,
        )
        shipping.attach(function)
        self.output("FunctionName", function.function_name)
        self.output("BucketName", shipping.bucket.bucket_name)
        self.output("LogGroupName", function.log_group.log_group_name)
