"""Function with the agent of CodeGuru Profiler → profiling group: which lines of Python take the time.

Use it where a Python function with many invocations takes long, and a trace shows only that it does. Do not
use it without reading which Pythons AWS names: its pages end at Python 3.9, which Lambda has deprecated, and
only the metadata of the agent names newer ones. For a single slow function, profile one invocation with
``cProfile``, which is part of Python.
"""

from collections.abc import Mapping
from dataclasses import replace

from aws_cdk import Arn, ArnFormat, RemovalPolicy, Stack, Token
from aws_cdk import aws_codeguruprofiler as codeguruprofiler
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.regions import differ

# Those of Lambda that codeguru-profiler-agent 1.2.6 names: https://pypi.org/project/codeguru-profiler-agent/
_PLATFORM = "AWSLambda"
_OWN_VARIABLES = (
    "AWS_CODEGURU_PROFILER_GROUP_ARN",
    "AWS_CODEGURU_PROFILER_GROUP_NAME",
    "AWS_CODEGURU_PROFILER_ENABLED",
    "AWS_CODEGURU_PROFILER_TARGET_REGION",
)
_RUNTIMES = ("python3.10", "python3.11", "python3.12", "python3.13")


@check_types
class ProfiledFunction(Construct):
    """A function whose agent reports to a profiling group where its time goes.

    It builds the function (Python 3.13, x86-64), the variables that its agent reads, the permissions to ask
    for the agent's configuration and to post profiles, and a profiling group unless you give one. The
    handler has the agent's decorator, ``@with_lambda_profiler()``, and ``codeguru-profiler-agent`` is in its
    ``requirements.txt``. The agent takes a sample each second and posts a profile every five minutes, so a
    function that is seldom invoked has none.

    Args:
        code: The folder of the function's handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        environment: Environment variables.
        profiling_group: A group for functions on Lambda that exists already, in this account: the agent
            names only the group. Default: a new one.
        enabled: Whether the agent runs. ``False`` leaves group and permissions, and costs nothing.
        function_options: Settings of the function. The architecture may only be x86-64, and the runtime one
            that the agent names: Python 3.10 to 3.13.
        network: The VPC that the function runs in, which needs a way to CodeGuru Profiler. Default: none of
            yours.
        removal_policy: What happens to the logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: A value is not allowed, the agent does not support runtime or architecture, or the group
            is not for Lambda or is in another account.

    Attributes:
        function (HardenedFunction): The function.
        profiling_group (IProfilingGroup): The group with its profiles.

    Example::

        profiled = ProfiledFunction(self, "Suggest", code="worker")
        topic.add_subscription(subscriptions.LambdaSubscription(profiled.function))

    https://docs.aws.amazon.com/codeguru/latest/profiler-ug/python-lambda.html
    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-code-profiler.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        handler: str = DEFAULT_HANDLER,
        environment: Mapping[str, str] | None = None,
        profiling_group: codeguruprofiler.IProfilingGroup | None = None,
        enabled: bool = True,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = function_options or FunctionOptions()
        if options.architecture is not None and options.architecture.name != "x86_64":
            raise ValueError(
                f"function_options.architecture={options.architecture.name}: CodeGuru Profiler supports "
                "Architecture.X86_64 only; leave it out."
            )
        runtime = options.runtime or lambda_.Runtime.PYTHON_3_13
        if runtime.name not in _RUNTIMES:
            raise ValueError(
                f"function_options.runtime={runtime.name}: the agent supports {', '.join(_RUNTIMES)}; choose "
                "one of them."
            )
        for name in environment or {}:
            if name in _OWN_VARIABLES:
                raise ValueError(
                    f"environment has {name}, which the construct sets: leave it out, and use "
                    "profiling_group or enabled."
                )
        if profiling_group is not None:
            _check_group(scope, profiling_group)
        super().__init__(scope, id)

        self.profiling_group: codeguruprofiler.IProfilingGroup = (
            profiling_group
            or codeguruprofiler.ProfilingGroup(
                self, "Group", compute_platform=codeguruprofiler.ComputePlatform.AWS_LAMBDA
            )
        )
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            environment={
                **(environment or {}),
                "AWS_CODEGURU_PROFILER_GROUP_ARN": self.profiling_group.profiling_group_arn,
                "AWS_CODEGURU_PROFILER_ENABLED": str(enabled).lower(),
            },
            options=replace(options, runtime=runtime, architecture=lambda_.Architecture.X86_64),
            network=network,
            removal_policy=removal_policy,
        )
        self.profiling_group.grant_publish(self.function)


def _check_group(scope: Construct, group: codeguruprofiler.IProfilingGroup) -> None:
    about = f"profiling_group={group.node.path}"
    made = group.node.try_find_child("ProfilingGroup")
    if isinstance(made, codeguruprofiler.CfnProfilingGroup) and made.compute_platform != _PLATFORM:
        raise ValueError(
            f"{about} is for the platform {made.compute_platform or 'Default'}; make it with "
            "compute_platform=ComputePlatform.AWS_LAMBDA."
        )
    arn, stack = group.profiling_group_arn, Stack.of(scope)
    account = Stack.of(made).account if made else None
    if account is None and not Token.is_unresolved(arn):
        account = Arn.split(arn, ArnFormat.SLASH_RESOURCE_NAME).account
    if account and differ(account, stack.account):
        raise ValueError(
            f"{about} is in the account {account}, and this stack in {stack.account}. The agent posts to a "
            "group of its own account only; give one of this account."
        )
