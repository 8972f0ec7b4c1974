"""Event → hardened Lambda function → its own logs, traces and failure queue.

The function that every architecture of this library is built on. Use it directly for a function of your
own; an architecture's construct (``cdk_lambda_patterns.<family>.<id>``) for a whole pattern.
"""

import os
from collections.abc import Mapping, Sequence
from typing import cast

from aws_cdk import (
    Annotations,
    CfnResource,
    Duration,
    IResource,
    Reference,
    RemovalPolicy,
    Tokenization,
)
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.failure_queue import check_standard, make_failure_queue
from cdk_lambda_patterns.core.handler_code import handler_code
from cdk_lambda_patterns.core.keys import check_key
from cdk_lambda_patterns.core.options import (
    AsyncOptions,
    FunctionOptions,
    LogOptions,
    NetworkOptions,
    check_environment,
)
from cdk_lambda_patterns.core.permissions import (
    QueueDestination,
    acknowledge,
    acknowledge_wildcard_in,
    grant_use_of_key,
)
from cdk_lambda_patterns.core.regions import OWN_KEYS, check_region, differ, is_known
from cdk_lambda_patterns.core.unzipped_size import check_with_layers
from cdk_lambda_patterns.core.vpcs import is_in_other_vpc

NEWEST_PYTHON = lambda_.Runtime.PYTHON_3_14
_ARM_64 = lambda_.Architecture.ARM_64  # asked for once, because that is a call into jsii

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
_NETWORK_INTERFACE_ACTIONS = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)

# Lambda's own defaults, 128 MB and 3 seconds, are rarely meant: a client of AWS already takes most of them.
_DEFAULT_MEMORY_MB = 256
_DEFAULT_TIMEOUT_SECONDS = 30
_SENDS = "Lambda sends to destinations of the function's own Region only"

# The function `handler` of the module `handler`.
DEFAULT_HANDLER = "handler.handler"


@check_types
class HardenedFunction(lambda_.Function):
    """A Lambda function with safe defaults and a role that holds only its own statements.

    It builds the function (newest Python, arm64, JSON logs, X-Ray tracing, recursion detection), a log group
    with retention and an execution role without AWS-managed policies. If the function is invoked
    asynchronously, it also configures retries and the maximum event age, and makes a queue for the events
    that failed permanently.

    Args:
        code: The folder of the handler, whose ``requirements.txt`` (with hashes) is installed as wheels for
            the function's Python and architecture; or any ``lambda_.Code``, used as it is.
        handler: ``module.function`` in that folder; ``index.function`` for inline code.
        description: What the function does, at most 256 characters.
        environment: Environment variables; those in ``options`` are added.
        asynchronous: Give it if S3, SNS, EventBridge or a caller with ``InvocationType=Event`` invokes the
            function; ``AsyncOptions()`` for the defaults. Default: it is invoked in another way, where the
            caller or the event source mapping decides about failures.
        on_failure: Where the record of a failed asynchronous invocation goes. Default: a new queue.
        options: Sizes, keys, logs: see ``FunctionOptions``.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to the logs and the failure queue when the stack is deleted. Default:
            they are retained.

    Raises:
        ValueError: An option is outside what Lambda allows, or does not apply, a destination or the
            dead-letter queue is FIFO, the folder has no such handler or lists its dependencies elsewhere, or
            code and layers have more than 250 MB, or a layer is for another processor.
        NotADirectoryError: ``code`` names a folder that does not exist.

    Attributes:
        execution_role (Role): The role. ``role`` is the same one, typed as the CDK types it.
        log_group (ILogGroup): The log group. A sibling of the function, because a function's log group
            must exist before the function does.
        failure_queue (IQueue | None): The queue for asynchronous invocations that failed permanently;
            ``None`` if the function is not asynchronous or has another ``on_failure`` destination.

    Example::

        function = HardenedFunction(self, "Worker", code="worker", asynchronous=AsyncOptions())
        topic.add_subscription(subscriptions.LambdaSubscription(function))

    https://docs.aws.amazon.com/lambda/latest/dg/best-practices.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: str | os.PathLike[str] | lambda_.Code,
        handler: str = DEFAULT_HANDLER,
        description: str | None = None,
        environment: Mapping[str, str] | None = None,
        asynchronous: AsyncOptions | None = None,
        on_failure: lambda_.IDestination | None = None,
        options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        if on_failure is not None and asynchronous is None:
            raise ValueError(
                "on_failure: only asynchronous invocations have this destination; give "
                "asynchronous=AsyncOptions() as well, or leave on_failure out."
            )
        if asynchronous is not None:
            check_standard("asynchronous.dead_letter_queue", asynchronous.dead_letter_queue)
            check_standard("asynchronous.dead_letter_topic", asynchronous.dead_letter_topic)
            dead_letters = {
                "asynchronous.dead_letter_queue": asynchronous.dead_letter_queue,
                "asynchronous.dead_letter_topic": asynchronous.dead_letter_topic,
            }
            check_region(scope, _SENDS, dead_letters)
        if network is not None:
            check_region(scope, "A function runs in a VPC of its own Region only", {"vpc": network.vpc})
            for group in network.security_groups or ():
                if is_in_other_vpc(group, network.vpc):
                    raise ValueError(
                        f"security_groups: {group.node.path} is in another VPC than the function, "
                        f"{network.vpc.node.path}; give one of this VPC."
                    )
        options = options or FunctionOptions()
        _check_parts(scope, options)
        for name in sorted({*(environment or {})} & {*(options.environment or {})}):
            raise ValueError(
                f"environment variable {name}: the construct sets it itself, or it is given twice; leave it "
                "out of the options, or choose another name."
            )
        variables = {**(environment or {}), **(options.environment or {})}
        check_environment(variables)

        runtime = options.runtime or NEWEST_PYTHON
        architecture = options.architecture or _ARM_64
        if not isinstance(code, lambda_.Code):
            code = handler_code(
                code,
                handler=handler,
                runtime=runtime,
                architecture=architecture,
                has_layers=bool(options.layers),
            )

        memory_size = None if "memory_size" in options.defaulted else options.memory_size
        log_group = _make_log_group(scope, f"{id}LogGroup", options.logs or LogOptions(), removal_policy)
        super().__init__(
            scope,
            id,
            code=code,
            handler=handler,
            runtime=runtime,
            architecture=architecture,
            description=description,
            environment=variables,
            memory_size=memory_size,
            timeout=options.timeout,
            ephemeral_storage_size=options.ephemeral_storage_size,
            environment_encryption=check_key("environment_encryption", options.environment_encryption),
            layers=list(options.layers or ()) or None,  # jsii takes no tuple
            reserved_concurrent_executions=options.reserved_concurrent_executions,
            log_group=log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            tracing=options.tracing or lambda_.Tracing.ACTIVE,
            recursive_loop=lambda_.RecursiveLoop.TERMINATE,
            vpc=network.vpc if network else None,
            vpc_subnets=network.vpc_subnets if network else None,
            security_groups=list(network.security_groups or ()) or None if network else None,
            filesystem=network.filesystem if network else None,
            ipv6_allowed_for_dual_stack=(network.ipv6_allowed_for_dual_stack or None) if network else None,
            code_signing_config=options.code_signing_config,
            snap_start=options.snap_start,
            dead_letter_queue=asynchronous.dead_letter_queue if asynchronous else None,
            dead_letter_topic=asynchronous.dead_letter_topic if asynchronous else None,
        )
        self._fill_in_defaults(memory_size, options)
        self._layers = [*(options.layers or ())]
        if self._layers:
            _check_architectures(self._layers, architecture)
            check_with_layers(self, self._layers)
            self._keep_order_of_layers()
        # No override, because the CDK's own constructor would call it.
        self.add_layers = self._add_layers  # type: ignore[method-assign]
        if isinstance(code, lambda_.InlineCode) and not handler.startswith(("index.", "${Token[")):
            # https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-properties-lambda-function-code.html
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:inlineHandler",
                f"handler={handler!r}: Lambda stores inline code as the module index and will not find this; "
                f"give 'index.{handler.rpartition('.')[2]}'.",
            )
        self.execution_role = self._write_out_role(
            log_group, in_vpc=network is not None, traced=options.tracing is not lambda_.Tracing.DISABLED
        )
        self.failure_queue: sqs.IQueue | None = None
        if asynchronous is not None:
            if on_failure is None:
                self.failure_queue = make_failure_queue(self, "FailureQueue", removal_policy=removal_policy)
                on_failure = QueueDestination(self.failure_queue)
            self.configure_async_invoke(
                retry_attempts=2 if asynchronous.retry_attempts is None else asynchronous.retry_attempts,
                max_event_age=asynchronous.max_event_age or Duration.hours(6),
                on_success=asynchronous.on_success,
                on_failure=on_failure,
            )
            if self.failure_queue is None or asynchronous.on_success is not None:
                self._check_destinations()
            self._grant_keys_of_dead_letters(asynchronous)
        if asynchronous is None or not (asynchronous.dead_letter_queue or asynchronous.dead_letter_topic):
            reason = (
                "The on-failure destination gets event and reason; a dead-letter queue gets the event only."
                if asynchronous
                else "Lambda sends to it for asynchronous invocations only, and this function has none."
            )
            acknowledge(self, {"Serverless-LambdaDLQ": reason})

    def _fill_in_defaults(self, memory_size: int | None, options: FunctionOptions) -> None:
        """Set what neither an option nor a property injector of the app sets."""
        resource = self.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)
        if memory_size is None and resource.memory_size is None:
            resource.memory_size = options.memory_size or _DEFAULT_MEMORY_MB
        if options.timeout is None and resource.timeout is None:
            resource.timeout = _DEFAULT_TIMEOUT_SECONDS

    def _add_layers(self, *layers: lambda_.ILayerVersion) -> None:
        super().add_layers(*layers)
        self._layers += layers
        self._keep_order_of_layers()

    def _keep_order_of_layers(self) -> None:
        """Undo that the CDK sorts layers by their path, because Lambda lets the later layer win.

        It does so with the recommended flag ``@aws-cdk/aws-lambda:recognizeLayerVersion``.
        """
        resource = self.node.default_child
        assert isinstance(resource, lambda_.CfnFunction)
        if len(self.stack.resolve(resource.layers)) > len(self._layers):
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:orderOfLayers",
                "layers: a property injector of the app adds others, so the CDK may sort all by their path. "
                "If files of one are to replace those of another, give all layers to the function.",
            )
            return
        resource.layers = [layer.layer_version_arn for layer in self._layers]

    def _check_destinations(self) -> None:
        """Check what the destinations are: an ``IDestination`` says so only once it is bound."""
        configured = self.node.find_child("EventInvokeConfig").node.default_child
        assert isinstance(configured, lambda_.CfnEventInvokeConfig)
        config = configured.destination_config
        if isinstance(config, lambda_.CfnEventInvokeConfig.DestinationConfigProperty):
            for argument, given in (
                ("on_failure", config.on_failure),
                ("asynchronous.on_success", config.on_success),
            ):
                arn = getattr(given, "destination", None)
                check_standard(argument, arn)
                check_region(self, _SENDS, {argument: arn})
                self._warn_of_other_account(argument, arn)
                if argument == "asynchronous.on_success" and _is_bucket(arn):
                    raise ValueError(
                        f"{argument}: Lambda sends records of failures only to a bucket; give a queue, a "
                        "topic, a function or an event bus."
                    )

    def _warn_of_other_account(self, argument: str, arn: str | None) -> None:
        parts = (arn or "").split(":")
        if len(parts) > 5 and is_known(parts[4]) and differ(parts[4], own := self.stack.account):
            Annotations.of(self).add_warning_v2(
                f"cdk-lambda-patterns:destinationOfAnotherAccount-{argument}",
                f"{argument}: {arn} is in account {parts[4]}. Its owner must allow the role of "
                f"{self.node.path} in account {own} to send to it; until then records are lost.",
            )

    def _grant_keys_of_dead_letters(self, asynchronous: AsyncOptions) -> None:
        """Grant the use of the key that encrypts dead letters: the CDK grants only to send them."""
        queue, topic = asynchronous.dead_letter_queue, asynchronous.dead_letter_topic
        for key in (queue and queue.encryption_master_key, topic and topic.master_key):
            grant_use_of_key(self.execution_role, key, "kms:GenerateDataKey", "kms:Decrypt")

    def _write_out_role(self, log_group: logs.LogGroup, *, in_vpc: bool, traced: bool) -> iam.Role:
        """Replace the AWS-managed policies of the CDK's execution role by this function's own statements."""
        role = self.role
        if not isinstance(role, iam.Role):
            raise TypeError(f"{self.node.path}/ServiceRole: this version of aws-cdk-lib is not supported.")
        children = role.node  # each question to jsii costs
        resource = children.default_child
        assert isinstance(resource, iam.CfnRole)
        resource.managed_policy_arns = None

        role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[log_group.log_group_arn],
            )
        )
        if in_vpc:
            role.add_to_policy(iam.PolicyStatement(actions=list(_NETWORK_INTERFACE_ACTIONS), resources=["*"]))
        if (in_vpc or traced) and (policy := children.try_find_child("DefaultPolicy")):
            acknowledge_wildcard_in(
                policy,
                "*",
                "X-Ray and the network interfaces of a function have no resource-level permissions: "
                "https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html",
            )
        return role


def _is_bucket(arn: str | None) -> bool:
    """Whether an ARN is that of a bucket.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
    """
    tokens = Tokenization.reverse_string(arn).tokens if arn and not is_known(arn) else ()
    targets = [cast(Reference, token).target for token in tokens if Reference.is_reference(token)]
    types = [target.cfn_resource_type for target in targets if isinstance(target, CfnResource)]
    return "AWS::S3::Bucket" in types or (arn or "").split(":")[2:3] == ["s3"]


def _check_parts(scope: Construct, options: FunctionOptions) -> None:
    keys = {
        "environment_encryption": options.environment_encryption,
        "logs.encryption_key": options.logs.encryption_key if options.logs else None,
    }
    check_region(scope, OWN_KEYS, keys)
    parts: dict[str, IResource | None] = {"code_signing_config": options.code_signing_config}
    parts |= {f"layers[{number}]": layer for number, layer in enumerate(options.layers or ())}
    # https://docs.aws.amazon.com/lambda/latest/api/API_UpdateFunctionConfiguration.html
    check_region(scope, "A function uses what is in its own Region only", parts)


def _check_architectures(layers: Sequence[lambda_.ILayerVersion], architecture: lambda_.Architecture) -> None:
    """Check that layers of this app are for the function's processor: Lambda itself would add any."""
    for number, layer in enumerate(layers):
        made = layer.node.default_child
        compatible = made.compatible_architectures if isinstance(made, lambda_.CfnLayerVersion) else None
        if compatible and architecture.name not in compatible:
            raise ValueError(
                f"layers[{number}]={layer.node.path}: it is for {', '.join(compatible)}, and the function "
                f"runs on {architecture.name}; give a layer for that, or another architecture."
            )


def _make_log_group(
    scope: Construct, id: str, options: LogOptions, removal_policy: RemovalPolicy
) -> logs.LogGroup:
    return logs.LogGroup(
        scope,
        id,
        retention=options.retention,
        encryption_key=check_key("logs.encryption_key", options.encryption_key),
        removal_policy=options.removal_policy or removal_policy,
    )
