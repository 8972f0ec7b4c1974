"""Deploys two functions from one container image, and a repository for images."""

from aws_cdk import RemovalPolicy
from constructs import Construct

from cdk_lambda_patterns import ImageFunctionOptions
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.delivery.container_image import (
    ContainerImageCode,
    ContainerImageFunction,
    ImageRepository,
)
from stacks.architecture import Architecture
from stacks.pattern_stack import PatternStack


class ContainerImageStack(PatternStack):
    """Postage quotes and the table of prices, both in the same image.

    The CDK CLI builds the image and pushes it to the repository of the bootstrap stack. The repository of
    this stack is for images that something else builds.

    A demonstration: deleting the stack deletes the images too (``RemovalPolicy.DESTROY``).
    """

    def __init__(self, scope: Construct, architecture: Architecture) -> None:
        super().__init__(scope, architecture)
        folder = pattern_source("delivery", "container_image")
        commands = {"Quote": None, "Table": ["container_image.handler.table"]}
        for name, cmd in commands.items():
            function = ContainerImageFunction(
                self,
                f"{name}Function",
                code=ContainerImageCode.from_image_asset(folder, build_args={"RELEASE": "1.0.0"}, cmd=cmd),
                description="Quotes the postage of a parcel" if cmd is None else "Lists the prices",
                environment={"POWERTOOLS_SERVICE_NAME": "container-image"},
                options=ImageFunctionOptions(memory_size=256),
                removal_policy=RemovalPolicy.DESTROY,
            )
            self.output(f"{name}FunctionName", function.function_name)
        images = ImageRepository(
            self, "Images", mutable_tags=["live"], keep_images=20, removal_policy=RemovalPolicy.DESTROY
        )
        self.output("RepositoryName", images.repository_name)
        self.output("RepositoryUri", images.repository_uri)
