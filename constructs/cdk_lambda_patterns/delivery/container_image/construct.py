"""The function."""

from collections.abc import Mapping
from dataclasses import fields

from aws_cdk import RemovalPolicy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.options import (
    AsyncOptions,
    FunctionOptions,
    ImageFunctionOptions,
    NetworkOptions,
)
from cdk_lambda_patterns.delivery.container_image.code import ContainerImageCode


@check_types
class ContainerImageFunction(HardenedFunction):
    """A hardened function from a container image: all that a ``HardenedFunction`` has, without its package.

    The image has the runtime, the handler and what would be in layers. It is built for the function's
    architecture: arm64, unless the options say otherwise.

    Args:
        code: The image: ``ContainerImageCode.from_ecr(…)`` or ``ContainerImageCode.from_image_asset(…)``.
        description: What the function does, at most 256 characters.
        environment: Environment variables; those in ``options`` are added.
        asynchronous: Give it if the function is invoked asynchronously; see ``HardenedFunction``.
        on_failure: Where the record of a failed asynchronous invocation goes. Default: a new queue.
        options: Sizes, keys, logs: see ``ImageFunctionOptions``.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to the logs and the failure queue when the stack is deleted. Default:
            they are retained.

    Raises:
        ValueError: An option is outside what Lambda allows, or does not apply to images.

    Attributes:
        execution_role (Role): The role.
        log_group (ILogGroup): The log group.
        failure_queue (IQueue | None): For asynchronous invocations that failed permanently; ``None`` as in
            ``HardenedFunction``.

    Example::

        images = ImageRepository(self, "Images")
        code = ContainerImageCode.from_ecr(images, tag_or_digest="1.4.2")
        ContainerImageFunction(self, "Worker", code=code)

    https://docs.aws.amazon.com/lambda/latest/dg/images-create.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: ContainerImageCode,
        description: str | None = None,
        environment: Mapping[str, str] | None = None,
        asynchronous: AsyncOptions | None = None,
        on_failure: lambda_.IDestination | None = None,
        options: ImageFunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = options or ImageFunctionOptions()
        shared = {field.name: getattr(options, field.name) for field in fields(ImageFunctionOptions)}
        for field in fields(options):
            if field.name not in shared and getattr(options, field.name):
                raise ValueError(
                    f"options.{field.name}: Lambda has none for functions from container images; put it into "
                    "the image, and give ImageFunctionOptions."
                )
        full = FunctionOptions(**shared, runtime=lambda_.Runtime.FROM_IMAGE)
        object.__setattr__(full, "defaulted", options.defaulted)
        super().__init__(
            scope,
            id,
            code=code.bind(scope, id, options.architecture or lambda_.Architecture.ARM_64),
            handler=lambda_.Handler.FROM_IMAGE,
            description=description,
            environment=environment,
            asynchronous=asynchronous,
            on_failure=on_failure,
            options=full,
            network=network,
            removal_policy=removal_policy,
        )
