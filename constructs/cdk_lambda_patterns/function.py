"""Event → hardened Lambda function → its own logs, traces and failure queue.

The function that every architecture of this library is built on. Use it directly for a function of your
own; an architecture's construct (``cdk_lambda_patterns.<family>.<id>``) for a whole pattern.
"""

import os
from collections.abc import Mapping

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.handler_code import handler_code
from cdk_lambda_patterns.options import FunctionOptions, check_environment
from cdk_lambda_patterns.permissions import QueueDestination, acknowledge, acknowledge_wildcard

NEWEST_PYTHON = lambda_.Runtime.PYTHON_3_14

# https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html#configuration-vpc-permissions
_NETWORK_INTERFACE_ACTIONS = (
    "ec2:AssignPrivateIpAddresses",
    "ec2:CreateNetworkInterface",
    "ec2:DeleteNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:UnassignPrivateIpAddresses",
)
_ASYNCHRONOUS_OPTIONS = ("retry_attempts", "max_event_age", "on_success", "on_failure", "dead_letter_queue")
_DESTINATION_KEEPS_MORE = (
    "The on-failure destination keeps the event and the reason: more than a queue for dead letters."
)
_NOT_ASYNCHRONOUS = "Lambda uses it for asynchronous invocations only, and this function has none."


class HardenedFunction(lambda_.Function):
    """A Lambda function with safe defaults and a role that holds only its own statements.

    It builds the function (newest Python, arm64, JSON logs, X-Ray tracing, recursion detection), a log group
    with retention and an execution role without AWS-managed policies. If the function is invoked
    asynchronously, it also sets the retries and the age of events and makes a queue for what failed for good.

    Args:
        code: The folder of the handler, whose ``requirements.txt`` (with hashes) is installed as wheels for
            the function's Python and architecture; or any ``lambda_.Code``, used as it is.
        handler: ``module.function`` in that folder.
        description: What the function does, 256 characters at most.
        environment: Environment variables; those in ``options`` are added and win.
        asynchronous: Whether S3, SNS, EventBridge or a caller with ``InvocationType=Event`` invokes it.
        options: Sizes, network, keys, logs, retries: see ``FunctionOptions``.

    Raises:
        ValueError: An option is outside of what Lambda allows, or does not apply.
        NotADirectoryError: ``code`` names a folder that does not exist.

    Attributes:
        execution_role (Role): The role. ``role`` is the same one, typed as the CDK types it.
        log_group (ILogGroup): Where the logs go. A sibling of the function, because a function's log group
            must exist before the function does.
        failure_queue (IQueue | None): Where the records of asynchronous invocations that failed for good go;
            ``None`` if the function is not asynchronous or has another ``on_failure`` destination.

    Example::

        function = HardenedFunction(self, "Worker", code="worker", asynchronous=True)
        topic.add_subscription(subscriptions.LambdaSubscription(function))

    https://docs.aws.amazon.com/lambda/latest/dg/best-practices.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: str | os.PathLike[str] | lambda_.Code,
        handler: str = "handler.handler",
        description: str | None = None,
        environment: Mapping[str, str] | None = None,
        asynchronous: bool = False,
        options: FunctionOptions | None = None,
    ) -> None:
        options = options or FunctionOptions()
        _check_asynchronous(asynchronous, options)
        variables = {**(environment or {}), **(options.environment or {})}
        check_environment(variables)

        runtime = options.runtime or NEWEST_PYTHON
        architecture = options.architecture or lambda_.Architecture.ARM_64
        if not isinstance(code, lambda_.Code):
            code = handler_code(code, runtime=runtime, architecture=architecture)

        super().__init__(
            scope,
            id,
            code=code,
            handler=handler,
            runtime=runtime,
            architecture=architecture,
            description=description,
            environment=variables,
            memory_size=options.memory_size,
            timeout=options.timeout,
            ephemeral_storage_size=options.ephemeral_storage_size,
            environment_encryption=options.environment_encryption,
            layers=options.layers,
            reserved_concurrent_executions=options.reserved_concurrent_executions,
            log_group=_make_log_group(scope, f"{id}LogGroup", options),
            logging_format=lambda_.LoggingFormat.JSON,
            tracing=options.tracing or lambda_.Tracing.ACTIVE,
            recursive_loop=lambda_.RecursiveLoop.TERMINATE,
            vpc=options.vpc,
            vpc_subnets=options.vpc_subnets,
            security_groups=options.security_groups,
            filesystem=options.filesystem,
            code_signing_config=options.code_signing_config,
            snap_start=options.snap_start,
            dead_letter_queue=options.dead_letter_queue,
        )
        self.execution_role = self._write_out_role(options)
        self.failure_queue = self._configure_failures(options) if asynchronous else None
        if options.dead_letter_queue is None:
            reason = _DESTINATION_KEEPS_MORE if asynchronous else _NOT_ASYNCHRONOUS
            acknowledge(self, {"Serverless-LambdaDLQ": reason})

    def _write_out_role(self, options: FunctionOptions) -> iam.Role:
        """Replace the AWS-managed policies of the CDK's execution role by this function's own statements."""
        role = self.node.find_child("ServiceRole")
        if not isinstance(role, iam.Role):
            raise TypeError(f"{role.node.path} is no iam.Role: this version of aws-cdk-lib is not supported.")
        resource = role.node.default_child
        assert isinstance(resource, iam.CfnRole)
        resource.managed_policy_arns = None

        role.add_to_principal_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[self.log_group.log_group_arn],
            )
        )
        if options.vpc is not None:
            role.add_to_principal_policy(
                iam.PolicyStatement(actions=list(_NETWORK_INTERFACE_ACTIONS), resources=["*"])
            )
        if options.vpc is not None or options.tracing is not lambda_.Tracing.DISABLED:
            acknowledge_wildcard(
                role,
                "*",
                "X-Ray and the network interfaces of a function have no resource-level permissions: "
                "https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html",
            )
        return role

    def _configure_failures(self, options: FunctionOptions) -> sqs.IQueue | None:
        queue = None
        on_failure: lambda_.IDestination | None = options.on_failure
        if on_failure is None:
            queue = make_failure_queue(self, "FailureQueue", removal_policy=options.log_removal_policy)
            on_failure = QueueDestination(queue)
        self.configure_async_invoke(
            retry_attempts=2 if options.retry_attempts is None else options.retry_attempts,
            max_event_age=options.max_event_age or Duration.hours(6),
            on_success=options.on_success,
            on_failure=on_failure,
        )
        return queue


def make_failure_queue(
    scope: Construct,
    id: str,
    *,
    fifo: bool = False,
    encryption_key: kms.IKey | None = None,
    removal_policy: RemovalPolicy | None = None,
) -> sqs.Queue:
    """Make a queue that keeps what failed for good for two weeks, the longest that SQS allows.

    Args:
        scope: The parent.
        id: The id under the parent.
        fifo: Whether it is a FIFO queue, as the dead-letter queue of a FIFO queue must be.
        encryption_key: Customer key that encrypts the messages. Default: a key that SQS manages.
        removal_policy: Default: what is still in the queue stays when the stack is deleted.
    """
    queue = sqs.Queue(
        scope,
        id,
        fifo=fifo or None,  # CloudFormation refuses an explicit false
        encryption=sqs.QueueEncryption.KMS if encryption_key else sqs.QueueEncryption.SQS_MANAGED,
        encryption_master_key=encryption_key,
        enforce_ssl=True,
        retention_period=Duration.days(14),
        removal_policy=removal_policy or RemovalPolicy.RETAIN,
    )
    acknowledge(
        queue,
        {
            "AwsSolutions-SQS3": "This is a queue for failures: its messages wait for a person or a redrive.",
            "Serverless-SQSRedrivePolicy": "This is a queue for failures: there is nowhere further to go.",
        },
    )
    return queue


def refuse_on_failure(options: FunctionOptions) -> None:
    """Refuse another failure destination where the handler itself sends to the failure queue as well.

    Raises:
        ValueError: ``on_failure`` is set; the message says what to give instead.
    """
    if options.given("on_failure"):
        raise ValueError(
            "function_options.on_failure: the function itself also sends to the failure destination, and it "
            "does so with SQS; pass the queue as failure_queue instead."
        )


def _check_asynchronous(asynchronous: bool, options: FunctionOptions) -> None:
    if not asynchronous and (useless := options.given(*_ASYNCHRONOUS_OPTIONS)):
        raise ValueError(
            f"{', '.join(useless)}: for asynchronous invocation only, and this function is invoked in "
            "another way, where its caller or event source mapping decides about failures; leave it out."
        )


def _make_log_group(scope: Construct, id: str, options: FunctionOptions) -> logs.LogGroup:
    return logs.LogGroup(
        scope,
        id,
        retention=options.log_retention or logs.RetentionDays.ONE_MONTH,
        encryption_key=options.log_encryption_key,
        removal_policy=options.log_removal_policy or RemovalPolicy.RETAIN,
    )
