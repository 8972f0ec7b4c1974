"""Options of the function inside any architecture of this library."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

from aws_cdk import Duration, RemovalPolicy, Size
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.limits import Limit

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_MEMORY = Limit("Lambda", 128, 10_240, "MB")
TIMEOUT = Limit("Lambda", 1, 900, "seconds")
_EPHEMERAL_STORAGE = Limit("Lambda", 512, 10_240, "MB")
_LAYERS = Limit("Lambda", 0, 5, "layers")
_ENVIRONMENT_BYTES = 4 * 1024
# https://docs.aws.amazon.com/lambda/latest/api/API_VpcConfig.html
_SECURITY_GROUPS = Limit("Lambda", 1, 5, "security groups")
# Far above any account's quota: it catches a slip and refuses no real value.
CONCURRENCY = Limit("Lambda", 0, 1_000_000)

# https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
_RETRY_ATTEMPTS = Limit("Lambda", 0, 2)
_EVENT_AGE = Limit("Lambda", 60, 6 * 60 * 60, "seconds")

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
_RESERVED_NAMES = frozenset(
    """
    _HANDLER _X_AMZN_TRACE_ID AWS_DEFAULT_REGION AWS_REGION AWS_EXECUTION_ENV AWS_LAMBDA_FUNCTION_NAME
    AWS_LAMBDA_FUNCTION_MEMORY_SIZE AWS_LAMBDA_FUNCTION_VERSION AWS_LAMBDA_INITIALIZATION_TYPE
    AWS_LAMBDA_LOG_GROUP_NAME AWS_LAMBDA_LOG_STREAM_NAME AWS_ACCESS_KEY AWS_ACCESS_KEY_ID
    AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_LAMBDA_RUNTIME_API LAMBDA_TASK_ROOT LAMBDA_RUNTIME_DIR
    AWS_LAMBDA_MAX_CONCURRENCY AWS_LAMBDA_METADATA_API AWS_LAMBDA_METADATA_TOKEN
    """.split()  # noqa: SIM905 - a table reads better than 21 lines
)
# How the CDK spells a token inside a string. Looking for it saves a call into jsii for each variable.
_UNRESOLVED = "${Token["
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]+")


@check_types
@dataclass(frozen=True, kw_only=True)
class LogOptions:
    """Settings of a function's log group.

    Args:
        retention: How long log events are retained. Default: two years, as in the CDK.
        encryption_key: Customer managed key that encrypts the logs. Its policy must allow CloudWatch Logs.
        removal_policy: What happens to the logs when the stack is deleted. Default: that of the function's
            other resources.

    Example::

        LogOptions(retention=logs.RetentionDays.ONE_YEAR)
    """

    retention: logs.RetentionDays | None = None
    encryption_key: kms.IKey | None = None
    removal_policy: RemovalPolicy | None = None


@check_types
@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """The VPC that a function runs in.

    Args:
        vpc: The VPC.
        vpc_subnets: Which subnets. Default: private ones. A function in a public subnet has no internet.
        security_groups: 1 to 5. Default: a new one that allows all outbound and no inbound traffic.
        filesystem: An EFS access point to mount.
        ipv6_allowed_for_dual_stack: Whether the function uses IPv6 too, in dual-stack subnets.

    Raises:
        ValueError: Lambda does not allow that many security groups.

    Example::

        NetworkOptions(vpc=vpc, vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED))
    """

    vpc: ec2.IVpc
    vpc_subnets: ec2.SubnetSelection | None = None
    security_groups: Sequence[ec2.ISecurityGroup] | None = None
    filesystem: lambda_.FileSystem | None = None
    ipv6_allowed_for_dual_stack: bool = False

    def __post_init__(self) -> None:
        if self.security_groups is not None:
            _SECURITY_GROUPS.check("len(security_groups)", len(self.security_groups))


@check_types
@dataclass(frozen=True, kw_only=True)
class AsyncOptions:
    """What Lambda does with the events of asynchronous invocations.

    Where the events that failed permanently go is an argument of the construct: ``on_failure`` of
    ``HardenedFunction``, ``failure_queue`` of an architecture whose handler sends to that queue as well.

    Args:
        retry_attempts: How often a failed invocation is retried, 0 to 2 (after one minute, then two).
            Default: 2, unless the architecture says otherwise.
        max_event_age: How long an event waits at most, 60 seconds to 6 hours. Default: 6 hours, unless the
            architecture says otherwise.
        on_success: Where the record of a successful invocation goes. Default: nowhere.
        dead_letter_queue: A queue for the bare events of failed invocations, for consumers that expect these.
            The failure destination gets the event as well, with the reason.
        dead_letter_topic: The same as a topic instead of a queue.

    Raises:
        ValueError: A value is outside what Lambda allows, or both a queue and a topic are given.

    Example::

        AsyncOptions(retry_attempts=0, max_event_age=Duration.minutes(5))

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-configuring.html
    """

    retry_attempts: int | None = None
    max_event_age: Duration | None = None
    on_success: lambda_.IDestination | None = None
    dead_letter_queue: sqs.IQueue | None = None
    dead_letter_topic: sns.ITopic | None = None

    def __post_init__(self) -> None:
        if self.dead_letter_queue is not None and self.dead_letter_topic is not None:
            raise ValueError(
                "dead_letter_queue and dead_letter_topic: a function has one of them; give the topic, and "
                "subscribe the queue to it."
            )
        _RETRY_ATTEMPTS.check("retry_attempts", self.retry_attempts)
        _EVENT_AGE.check("max_event_age", self.max_event_age)


@check_types
@dataclass(frozen=True, kw_only=True)
class ImageFunctionOptions:
    """Settings of a function from a container image: those that do not depend on its package.

    Args:
        memory_size: Memory in MB, 128 to 10,240. CPU grows with it; 1,769 MB are one vCPU. Default of a
            ``HardenedFunction``: 256.
        timeout: Time limit of an invocation, 1 to 900 seconds. Default of a ``HardenedFunction``: 30 seconds.
        ephemeral_storage_size: Size of ``/tmp``, 512 to 10,240 MB.
        architecture: ``Architecture.ARM_64`` (default) or ``X86_64``, for AVX2 and x86-only libraries.
        environment: More environment variables. All of the function's together: 4 KB at most.
        environment_encryption: Customer managed key that encrypts the environment variables.
        reserved_concurrent_executions: Concurrency taken out of the account's pool for this function, and
            its upper bound. 0 stops the function.
        tracing: X-Ray. Default: ``Tracing.ACTIVE``.
        logs: Settings of the log group.

    Raises:
        ValueError: A value is outside what Lambda allows.

    Example::

        ImageFunctionOptions(memory_size=3008, timeout=Duration.minutes(2))
    """

    memory_size: int | None = None
    timeout: Duration | None = None
    ephemeral_storage_size: Size | None = None
    architecture: lambda_.Architecture | None = None
    environment: Mapping[str, str] | None = None
    environment_encryption: kms.IKey | None = None
    reserved_concurrent_executions: int | None = None
    tracing: lambda_.Tracing | None = None
    logs: LogOptions | None = None

    # The fields that `with_defaults` filled: the app's property injectors may overrule them.
    defaulted: ClassVar[frozenset[str]] = frozenset()

    def __post_init__(self) -> None:
        _MEMORY.check("memory_size", self.memory_size)
        TIMEOUT.check("timeout", self.timeout)
        _EPHEMERAL_STORAGE.check("ephemeral_storage_size", self.ephemeral_storage_size)
        # Lambda also keeps 100 of the account's concurrency unreserved; only the deployment can know that.
        CONCURRENCY.check("reserved_concurrent_executions", self.reserved_concurrent_executions)
        check_environment(self.environment or {})

    def with_defaults(self, **defaults: Any) -> Self:
        """Return a copy in which the fields that are not set take these values.

        Args:
            **defaults: Values by field name, what an architecture prefers.

        Raises:
            TypeError: A name is not a field of this class.
        """
        missing = {name: value for name, value in defaults.items() if getattr(self, name, None) is None}
        filled = replace(self, **missing)
        object.__setattr__(filled, "defaulted", frozenset(missing))
        return filled


@check_types
@dataclass(frozen=True, kw_only=True)
class FunctionOptions(ImageFunctionOptions):
    """Settings that every Lambda function has. What is not given takes the default of the architecture.

    Args:
        memory_size: Memory in MB, 128 to 10,240. CPU grows with it; 1,769 MB are one vCPU. Default of a
            ``HardenedFunction``: 256.
        timeout: Time limit of an invocation, 1 to 900 seconds. Default of a ``HardenedFunction``: 30 seconds.
        ephemeral_storage_size: Size of ``/tmp``, 512 to 10,240 MB.
        architecture: ``Architecture.ARM_64`` (default) or ``X86_64``, for AVX2 and x86-only libraries.
        runtime: Default: the newest Python that Lambda has.
        environment: More environment variables. All of the function's together: 4 KB at most.
        environment_encryption: Customer managed key that encrypts the environment variables.
        layers: At most 5, in the order in which they are merged: the later one wins.
        reserved_concurrent_executions: Concurrency taken out of the account's pool for this function, and
            its upper bound. 0 stops the function.
        tracing: X-Ray. Default: ``Tracing.ACTIVE``.
        code_signing_config: Which signatures the code must carry.
        snap_start: ``SnapStartConf.ON_PUBLISHED_VERSIONS`` to start published versions from a snapshot.
        logs: Settings of the log group.

    Raises:
        ValueError: A value is outside what Lambda allows.

    Example::

        FunctionOptions(memory_size=3008, timeout=Duration.minutes(2))
    """

    runtime: lambda_.Runtime | None = None
    layers: Sequence[lambda_.ILayerVersion] | None = None
    code_signing_config: lambda_.ICodeSigningConfig | None = None
    snap_start: lambda_.SnapStartConf | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _LAYERS.check("len(layers)", len(self.layers or ()))
        _check_layers(self.layers or ())


def _check_layers(layers: Sequence[lambda_.ILayerVersion]) -> None:
    """Check that no layer is there twice, as far as their ARNs are known."""
    names = [layer.layer_version_arn.rpartition(":")[0] or layer.layer_version_arn for layer in layers]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise ValueError(
                f"layers[{number}]={layers[number].node.path}: Lambda allows one version of each layer, and "
                f"layers[{names.index(name)}] is of the same; leave one of them out."
            )


def check_environment(variables: Mapping[str, str]) -> None:
    """Check the names and the total size of a function's environment variables.

    Args:
        variables: All of them. A token's size is unknown and does not count.

    Raises:
        ValueError: A name is reserved or malformed, or all together exceed 4 KB.
    """
    for name in variables:
        if name in _RESERVED_NAMES:
            raise ValueError(f"environment variable {name}: Lambda reserves this name; choose another.")
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"environment variable {name!r}: Lambda allows letters, digits and underscores, at least two "
                "characters, the first a letter; choose such a name."
            )
    size = sum(
        len(name.encode()) + len(value.encode())
        for name, value in variables.items()
        if _UNRESOLVED not in value
    )
    if size > _ENVIRONMENT_BYTES:
        raise ValueError(
            f"environment of {size:,} bytes: Lambda allows 4,096 bytes for all names and values together; "
            "keep large settings in SSM Parameter Store, AppConfig or S3."
        )
