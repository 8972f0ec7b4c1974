"""Deploys a spelling corrector twice, in Python and in C++, with the dictionary in layers that both have."""

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns import FunctionOptions, HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.delivery.layers import CustomRuntimeFunction, DependenciesLayer
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack, context


class LayersStack(PatternStack):
    """Two functions that correct words; the house's own names replace the standard ones.

    The context ``organization`` shares the layers with the accounts of an organization: ``-c
    organization=o-a1b2c3d4e5``.

    A demonstration: deleting the stack deletes layers and logs (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        source = pattern_source("delivery", "layers")
        dependencies = DependenciesLayer(
            self,
            "Dependencies",
            code=source / "dependencies",
            compatible_architectures=[lambda_.Architecture.ARM_64, lambda_.Architecture.X86_64],
            description="Powertools for AWS Lambda",
            removal_policy=RemovalPolicy.DESTROY,
        )
        # Data: for every runtime and processor.
        standard, house = (
            lambda_.LayerVersion(
                self,
                name,
                code=lambda_.Code.from_asset(str(source / name.lower())),
                removal_policy=RemovalPolicy.DESTROY,
            )
            for name in ("Standard", "House")
        )
        words = [standard, house]  # both have words/names.txt: the later one wins
        environment = {"DICTIONARY": "/opt/words"}
        python = HardenedFunction(
            self,
            "Python",
            code=source,
            handler="layers.handler.handler",
            description="Corrects words, in Python",
            environment={**environment, "POWERTOOLS_SERVICE_NAME": "layers"},
            options=FunctionOptions(timeout=Duration.seconds(10), layers=[dependencies, *words]),
            removal_policy=RemovalPolicy.DESTROY,
        )
        cpp = CustomRuntimeFunction(
            self,
            "Cpp",
            code=source / "cpp",
            handler="spelling.correct",
            description="Corrects words, in C++",
            environment=environment,
            options=FunctionOptions(timeout=Duration.seconds(10), layers=words),
            removal_policy=RemovalPolicy.DESTROY,
        )
        organization = context(self, "organization", r"o-[a-z0-9]{10,32}", "the id of an organization")
        if organization:
            for layer in (dependencies, *words):
                layer.add_permission("Organization", account_id="*", organization_id=organization)
        self.output("PythonFunctionName", python.function_name)
        self.output("CppFunctionName", cpp.function_name)
        self.output("StandardLayerArn", standard.layer_version_arn)
        self.output("HouseLayerArn", house.layer_version_arn)
