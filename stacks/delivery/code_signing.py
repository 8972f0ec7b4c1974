"""Deploys a function whose code is signed during the deployment."""

from aws_cdk import Duration, RemovalPolicy
from constructs import Construct

from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.delivery.code_signing import CodeSigning, SignedFunction
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class CodeSigningStack(PatternStack):
    """Gross prices, by a function that accepts signed code only.

    Signatures can be deployed for a day, so that the drill sees one expire.

    A demonstration: deleting the stack deletes signed code and logs (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        signing = CodeSigning(
            self, "Signing", signature_validity=Duration.days(1), removal_policy=RemovalPolicy.DESTROY
        )
        prices = SignedFunction(
            self,
            "Prices",
            code=pattern_source("delivery", "cross_account_code"),
            handler="cross_account_code.handler.handler",
            signing=signing,
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.output("FunctionName", prices.function.function_name)
        self.output("ProviderFunctionName", signing.provider.function_name)
        self.output("BucketName", signing.bucket.bucket_name)
