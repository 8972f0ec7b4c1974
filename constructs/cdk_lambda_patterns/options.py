"""What a user may choose about the function inside any architecture of this library."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aws_cdk import Duration, RemovalPolicy, Size
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs

from cdk_lambda_patterns.limits import check_duration, check_range, check_size

# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
_MEMORY_MB = (128, 10_240)
_TIMEOUT_S = (1, 900)
_EPHEMERAL_STORAGE_MB = (512, 10_240)
_ENVIRONMENT_BYTES = 4 * 1024
_LAYERS = (0, 5)
_MAX_CONCURRENCY = 1_000_000  # far above any account's quota: catches a slip, refuses nobody

# https://docs.aws.amazon.com/lambda/latest/api/API_PutFunctionEventInvokeConfig.html
_RETRY_ATTEMPTS = (0, 2)
_EVENT_AGE_S = (60, 6 * 60 * 60)

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


@dataclass(frozen=True, kw_only=True)
class FunctionOptions:
    """Settings of a Lambda function. What is not given takes the default of the architecture.

    Args:
        memory_size: Memory in MB, 128 to 10,240. CPU grows with it; 1,769 MB are one vCPU.
        timeout: Time limit of an invocation, 1 to 900 seconds.
        ephemeral_storage_size: Size of ``/tmp``, 512 to 10,240 MB.
        architecture: ``Architecture.ARM_64`` (default) or ``X86_64``, for AVX2 and x86-only libraries.
        runtime: Default: the newest Python that Lambda has.
        environment: More environment variables. All of the function's together: 4 KB at most.
        environment_encryption: Customer key that encrypts the environment variables.
        layers: At most 5.
        reserved_concurrent_executions: Concurrency taken out of the account's pool for this function, and
            its upper bound. 0 stops the function.
        log_retention: How long the logs are kept. Default: one month.
        log_encryption_key: Customer key that encrypts the logs. Its policy must admit CloudWatch Logs.
        log_removal_policy: What happens to the logs when the stack is deleted. Default: they stay.
        tracing: X-Ray. Default: ``Tracing.ACTIVE``.
        vpc: The network that the function runs in. Default: none of yours.
        vpc_subnets: Which subnets. Default: private ones. A public subnet gives a function no internet.
        security_groups: Default: a new one that lets everything out and nothing in.
        filesystem: An EFS access point to mount; needs ``vpc``.
        code_signing_config: Which signatures the code must carry.
        snap_start: ``SnapStartConf.ON_PUBLISHED_VERSIONS`` to start published versions from a snapshot.
        retry_attempts: How often an asynchronous invocation that failed is tried again, 0 to 2.
            Default: 2 (after one minute, then two).
        max_event_age: How long an asynchronous event waits at the most, 60 seconds to 6 hours (default).
        on_success: Where the record of a successful asynchronous invocation goes. Default: nowhere.
        on_failure: Where the record of a failed asynchronous invocation goes. Default: a queue of its own.
        dead_letter_queue: A queue for the bare events of failed asynchronous invocations. A destination
            says more (``on_failure``); use this beside it for consumers that expect the bare event.

    Raises:
        ValueError: A value is outside of what Lambda allows.

    Example::

        FunctionOptions(memory_size=3008, timeout=Duration.minutes(2))
    """

    memory_size: int | None = None
    timeout: Duration | None = None
    ephemeral_storage_size: Size | None = None
    architecture: lambda_.Architecture | None = None
    runtime: lambda_.Runtime | None = None
    environment: Mapping[str, str] | None = None
    environment_encryption: kms.IKey | None = None
    layers: Sequence[lambda_.ILayerVersion] | None = None
    reserved_concurrent_executions: int | None = None
    log_retention: logs.RetentionDays | None = None
    log_encryption_key: kms.IKey | None = None
    log_removal_policy: RemovalPolicy | None = None
    tracing: lambda_.Tracing | None = None
    vpc: ec2.IVpc | None = None
    vpc_subnets: ec2.SubnetSelection | None = None
    security_groups: Sequence[ec2.ISecurityGroup] | None = None
    filesystem: lambda_.FileSystem | None = None
    code_signing_config: lambda_.ICodeSigningConfig | None = None
    snap_start: lambda_.SnapStartConf | None = None
    retry_attempts: int | None = None
    max_event_age: Duration | None = None
    on_success: lambda_.IDestination | None = None
    on_failure: lambda_.IDestination | None = None
    dead_letter_queue: sqs.IQueue | None = None

    def __post_init__(self) -> None:
        check_range("memory_size", self.memory_size, *_MEMORY_MB, unit="MB", allows="Lambda allows")
        check_duration("timeout", self.timeout, *_TIMEOUT_S, allows="Lambda allows")
        check_size(
            "ephemeral_storage_size",
            self.ephemeral_storage_size,
            *_EPHEMERAL_STORAGE_MB,
            allows="Lambda allows",
        )
        # Lambda also keeps 100 of the account's concurrency unreserved; only the deployment can know that.
        check_range(
            "reserved_concurrent_executions",
            self.reserved_concurrent_executions,
            0,
            _MAX_CONCURRENCY,
            unit="",
            allows="Lambda allows",
        )
        check_range("retry_attempts", self.retry_attempts, *_RETRY_ATTEMPTS, unit="", allows="Lambda allows")
        check_duration("max_event_age", self.max_event_age, *_EVENT_AGE_S, allows="Lambda allows")
        check_range("len(layers)", len(self.layers or ()), *_LAYERS, unit="layers", allows="Lambda allows")
        check_environment(self.environment or {})
        if self.filesystem is not None and self.vpc is None:
            raise ValueError("filesystem without vpc: Lambda mounts EFS in a VPC only; give vpc as well.")
        if self.vpc is None and (self.vpc_subnets is not None or self.security_groups is not None):
            raise ValueError("vpc_subnets or security_groups without vpc: give vpc as well.")

    def with_defaults(self, **defaults: Any) -> "FunctionOptions":  # noqa: ANN401 - any field's type
        """Return a copy in which the fields that are not set take these values.

        Args:
            **defaults: Values by field name, what an architecture prefers.

        Raises:
            TypeError: A name is not a field of this class.
        """
        missing = {name: value for name, value in defaults.items() if getattr(self, name, None) is None}
        return replace(self, **missing)

    def given(self, *names: str) -> list[str]:
        """Return those of these fields that were set, for errors about options that do not apply."""
        return [name for name in names if getattr(self, name) is not None]


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
