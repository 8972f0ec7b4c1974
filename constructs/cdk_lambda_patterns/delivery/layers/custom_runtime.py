"""Folder of C++, or with a bootstrap → function whose own program asks the Runtime API for events."""

import os
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import RemovalPolicy
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.handler_code import EXCLUDE
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.delivery.layers.compiler import bootstrap_code


@check_types
class CustomRuntimeFunction(HardenedFunction):
    """A function that runs a program of its own, ``bootstrap``, on Amazon Linux without a language runtime.

    Lambda starts the program, which asks the Runtime API for an event, and posts the response or the error.
    C++ is compiled for the function's processor when the app is synthesised, without Docker. Anything else
    has to be there: a folder with an executable ``bootstrap``, or a layer that has one.

    Args:
        code: A folder with C++ (each ``.cpp`` in it is compiled, with the flags in ``compile_flags.txt`` if
            there are any), a folder with ``bootstrap``, or any ``lambda_.Code``.
        handler: What the program finds in ``_HANDLER``. Default: ``bootstrap``.
        description: What the function does, at most 256 characters.
        environment: Environment variables; those in ``options`` are added.
        asynchronous: As for a ``HardenedFunction``. Default: it is not invoked asynchronously.
        on_failure: Where the record of a failed asynchronous invocation goes. Default: a new queue.
        options: Sizes, keys, logs. The runtime is ``provided.al2023`` by default, the processor arm64.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to the logs and the failure queue when the stack is deleted. Default:
            they are retained.

    Raises:
        ValueError: The runtime is that of a language, the folder has no C++ and no ``bootstrap``, it is not
            executable, or an option is not allowed.
        NotADirectoryError: ``code`` names a folder that does not exist.

    Attributes:
        execution_role (Role): As that of a ``HardenedFunction``, and so are ``log_group`` and
            ``failure_queue``.

    Example::

        arn = "arn:aws:lambda:eu-west-1:111122223333:layer:bash:8"  # it has a bootstrap
        bash = lambda_.LayerVersion.from_layer_version_arn(self, "Bash", arn)
        CustomRuntimeFunction(self, "Job", code="worker", options=FunctionOptions(layers=[bash]))

    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-provided.html
    https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: str | os.PathLike[str] | lambda_.Code,
        handler: str = "bootstrap",
        description: str | None = None,
        environment: Mapping[str, str] | None = None,
        asynchronous: AsyncOptions | None = None,
        on_failure: lambda_.IDestination | None = None,
        options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = (options or FunctionOptions()).with_defaults(
            runtime=lambda_.Runtime.PROVIDED_AL2023, architecture=lambda_.Architecture.ARM_64
        )
        assert options.runtime is not None
        if not options.runtime.name.startswith("provided."):
            raise ValueError(
                f"runtime={options.runtime.name}: it is not custom; leave it out for provided.al2023, or use "
                "HardenedFunction."
            )
        if not isinstance(code, lambda_.Code):
            code = _code_of(Path(code).resolve(), options)
        super().__init__(
            scope,
            id,
            code=code,
            handler=handler,
            description=description,
            environment=environment,
            asynchronous=asynchronous,
            on_failure=on_failure,
            options=options,
            network=network,
            removal_policy=removal_policy,
        )


def _code_of(folder: Path, options: FunctionOptions) -> lambda_.Code:
    if not folder.is_dir():
        raise NotADirectoryError(
            f"code={str(folder)!r}: not a folder; give the folder of C++ or of bootstrap."
        )
    bootstrap = folder / "bootstrap"
    if any(folder.glob("*.cpp")):
        assert options.architecture is not None
        return bootstrap_code(folder, options.architecture)
    if not bootstrap.is_file() and not options.layers:
        raise ValueError(
            f"code={str(folder)!r}: it has no .cpp and no bootstrap, which Lambda would start; add one, or a "
            "layer that has it."
        )
    if bootstrap.is_file() and not os.access(bootstrap, os.X_OK):
        raise ValueError(
            f"{bootstrap}: Lambda cannot start it; make it executable with 'chmod +x bootstrap'."
        )
    return lambda_.Code.from_asset(str(folder), exclude=list(EXCLUDE))
