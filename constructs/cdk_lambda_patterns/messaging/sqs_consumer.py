"""SQS queue (standard or FIFO) → Lambda, what fails for good → dead-letter queue.

Use it for work that may wait: it is kept until it succeeds, spikes become a queue instead of errors, and one
bad message costs only itself. With a FIFO queue also for work whose order matters within a group. Do not use
it when the sender needs the answer, or when several readers need every message (put SNS or a stream before
the queues).
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Annotations, Duration, RemovalPolicy, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.limits import check_duration, check_range
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import acknowledge, grant_use_of_key

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
_BATCH_SIZE = (1, 10_000)
_BATCH_SIZE_WITHOUT_WINDOW = 10
_WINDOW_S = (0, 300)
_CONCURRENCY = (2, 1_000)
_FILTERS = (1, 10)  # 5, and up to 10 on request
_MINIMUM_POLLERS = (2, 200)
_MAXIMUM_POLLERS = (2, 2_000)
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
_RECEIVE_COUNT = (1, 1_000)
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
_VISIBILITY_S = (0, 43_200)
_DEFAULT_VISIBILITY_S = 30

# What Lambda's pollers do in the name of the function's role, and no more: the CDK's SqsEventSource grants
# two actions that they do not use.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-permissions
_READING = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

# "at least six times the function timeout, plus the value of the batching window":
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-queueconfig
_VISIBILITY_TIMEOUTS = 6
_IMPORTED = "cdk-lambda-patterns:sqsImportedQueue"


@dataclass(frozen=True, kw_only=True)
class SqsConsumerOptions:
    """How a queue is read, and how the queue that is made for it is set up.

    Args:
        batch_size: Messages in an invocation at most, 1 to 10; up to 10,000 for a standard queue with a
            ``max_batching_window`` of at least one second.
        max_batching_window: How long a batch is collected, 0 to 300 seconds. Standard queues only.
        max_concurrency: Invocations at a time at most, 2 to 1,000. Default: as many as the function may have.
        filters: What ``lambda_.FilterCriteria.filter`` returns, at most 10. A message that passes none of
            them is deleted without an invocation.
        minimum_pollers: Provisioned mode: pollers that always run, 2 to 200; they are charged by the hour.
        maximum_pollers: Provisioned mode: pollers at most, 2 to 2,000. Not with ``max_concurrency``.
        max_receive_count: How often a message is tried before it moves to the dead-letter queue, 1 to 1,000.
            AWS advises at least 5, since throttled invocations count.
        visibility_timeout: Of the new queue. Default: 6 times the function's timeout, plus the window.
        encryption_key: Customer key of the new queues. Default: a key that SQS manages.
        content_based_deduplication: Whether the body's hash stands in for a missing deduplication id. New
            FIFO queue only.
        high_throughput: Whether deduplication and throughput are counted per message group and not for the
            whole queue. New FIFO queue only.

    Raises:
        ValueError: A value is outside of what Lambda or SQS allow, or two do not go together.

    Example::

        SqsConsumerOptions(batch_size=100, max_batching_window=Duration.seconds(5), max_concurrency=10)
    """

    batch_size: int = 10
    max_batching_window: Duration | None = None
    max_concurrency: int | None = None
    filters: Sequence[Mapping[str, Any]] | None = None
    minimum_pollers: int | None = None
    maximum_pollers: int | None = None
    max_receive_count: int = 5
    visibility_timeout: Duration | None = None
    encryption_key: kms.IKey | None = None
    content_based_deduplication: bool = False
    high_throughput: bool = False

    def __post_init__(self) -> None:
        _check_number("batch_size", self.batch_size, _BATCH_SIZE)
        check_duration("max_batching_window", self.max_batching_window, *_WINDOW_S, allows="Lambda allows")
        _check_number("max_concurrency", self.max_concurrency, _CONCURRENCY)
        _check_number("minimum_pollers", self.minimum_pollers, _MINIMUM_POLLERS)
        _check_number("maximum_pollers", self.maximum_pollers, _MAXIMUM_POLLERS)
        _check_number("max_receive_count", self.max_receive_count, _RECEIVE_COUNT)
        check_duration("visibility_timeout", self.visibility_timeout, *_VISIBILITY_S, allows="SQS allows")
        if self.filters is not None:
            check_range("len(filters)", len(self.filters), *_FILTERS, unit="filters", allows="Lambda allows")
        if self.batch_size > _BATCH_SIZE_WITHOUT_WINDOW and self.window_seconds < 1:
            raise ValueError(
                f"batch_size={self.batch_size:,} without max_batching_window: Lambda allows more than "
                f"{_BATCH_SIZE_WITHOUT_WINDOW} only with a window of at least 1 second; give one, such as "
                "Duration.seconds(1)."
            )
        if self.provisioned and self.max_concurrency is not None:
            raise ValueError(
                "max_concurrency beside minimum_pollers or maximum_pollers: Lambda takes one or the other; "
                "the maximum of pollers bounds the concurrency as well (10 invocations a poller)."
            )

    @property
    def provisioned(self) -> bool:
        """Whether the pollers are provisioned."""
        return self.minimum_pollers is not None or self.maximum_pollers is not None

    @property
    def window_seconds(self) -> float:
        """The batching window; that of a token, whose value nobody knows yet, counts as enough."""
        window = self.max_batching_window
        if window is None:
            return 0
        return 1 if window.is_unresolved() else window.to_seconds()


class SqsConsumer(Construct):
    """A function that works on the messages of a queue, and a queue for those that fail for good.

    It builds the queue and its dead-letter queue (unless there is a queue already), the function and the
    event source mapping with partial batch responses: the handler answers which messages of a batch failed,
    and only those come back. After ``max_receive_count`` attempts a message moves to the dead-letter queue,
    from where ``aws sqs start-message-move-task`` sends it back when the cause is mended.

    SQS delivers at least once, so the handler must be idempotent. In a FIFO queue a message that failed keeps
    the later ones of its group waiting, and no others; the handler must then report them as failed as well.

    Args:
        code: The handler's folder, or any ``lambda_.Code``.
        handler: ``module.function`` in it.
        queue: Owned, of another stack, or imported. Default: a new one. Of an owned one the visibility
            timeout, the dead-letter queue and the kind are checked; of an imported one nobody can, so a
            warning says what to see to.
        fifo: Whether the new queue is a FIFO queue.
        dead_letter_queue: Of the new queue, and of its kind. Default: a new one.
        options: How the queue is read and set up.
        function_options: Settings of the function. Default: 256 MB, 30 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to queues and logs when the stack is deleted. Default: they stay.

    Raises:
        ValueError: A value is not allowed, two do not go together, or the queue does not fit the function.

    Attributes:
        queue (IQueue): The queue that is read.
        dead_letter_queue (IQueue | None): Where its messages go in the end; ``None`` if that is unknown.
        function (HardenedFunction): The function.
        event_source_mapping (EventSourceMapping): What reads the queue and invokes the function.

    Example::

        orders = SqsConsumer(self, "Orders", code="worker", fifo=True)
        orders.grant_send(website)

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: str | os.PathLike[str] | lambda_.Code,
        handler: str = "handler.handler",
        queue: sqs.IQueue | None = None,
        fifo: bool = False,
        dead_letter_queue: sqs.IQueue | None = None,
        options: SqsConsumerOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = options or SqsConsumerOptions()
        function_options = function_options or FunctionOptions()
        timeout = function_options.timeout or Duration.seconds(30)
        function_options = function_options.with_defaults(memory_size=256, timeout=timeout)
        _check_kind(queue, fifo, dead_letter_queue, options)
        _check_concurrency(options, function_options)
        needed = _needed_visibility(options, timeout)
        if queue is None:
            _check_visibility("visibility_timeout", options.visibility_timeout, needed)
        super().__init__(scope, id)

        if queue is None:
            self.dead_letter_queue: sqs.IQueue | None = dead_letter_queue or make_failure_queue(
                self,
                "DeadLetterQueue",
                fifo=fifo,
                encryption_key=options.encryption_key,
                removal_policy=removal_policy,
            )
            self.queue: sqs.IQueue = self._make_queue(fifo, options, needed, removal_policy)
        else:
            self.queue = queue
            self.dead_letter_queue = self._check_given(queue, needed)
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            options=function_options,
            network=network,
            removal_policy=removal_policy,
        )
        self._grant_reading()
        self.event_source_mapping = self._map(options)

    def grant_send(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let somebody send messages to the queue, encrypted with a customer key or not."""
        grant = self.queue.grant(grantee, "sqs:SendMessage")
        if self.queue.encryption_master_key is not None:
            self.queue.encryption_master_key.grant(grantee, "kms:GenerateDataKey", "kms:Decrypt")
        return grant

    def _make_queue(
        self, fifo: bool, options: SqsConsumerOptions, needed: Duration | None, removal_policy: RemovalPolicy
    ) -> sqs.Queue:
        assert self.dead_letter_queue is not None
        key, per_group = options.encryption_key, fifo and options.high_throughput
        return sqs.Queue(
            self,
            "Queue",
            fifo=fifo or None,  # CloudFormation refuses an explicit false
            content_based_deduplication=(fifo and options.content_based_deduplication) or None,
            deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP if per_group else None,
            fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID if per_group else None,
            visibility_timeout=options.visibility_timeout or needed,
            retention_period=Duration.days(14),
            encryption=sqs.QueueEncryption.KMS if key else sqs.QueueEncryption.SQS_MANAGED,
            encryption_master_key=key,
            enforce_ssl=True,
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=self.dead_letter_queue, max_receive_count=options.max_receive_count
            ),
            # Nobody's dead letters belong among the work. (The dead-letter queue cannot name this queue as
            # its only source in turn: the two would wait for each other's ARN.)
            redrive_allow_policy=sqs.RedriveAllowPolicy(redrive_permission=sqs.RedrivePermission.DENY_ALL),
            removal_policy=removal_policy,
        )

    def _check_given(self, queue: sqs.IQueue, needed: Duration | None) -> sqs.IQueue | None:
        """Check what can be known of a queue that somebody else made; returns its dead-letter queue."""
        if not isinstance(queue, sqs.Queue) or not isinstance(queue.node.default_child, sqs.CfnQueue):
            seconds = f"{needed.to_seconds():,.0f} seconds" if needed else "6 times the function's timeout"
            Annotations.of(self).add_warning_v2(
                _IMPORTED,
                f"{queue.node.path} is imported, so its settings are unknown here. See to it that its "
                f"visibility timeout is at least {seconds}, and that it has a redrive policy to a "
                "dead-letter queue; where the queue's own policy denies by default it must admit the role.",
            )
            return None
        given = queue.node.default_child.visibility_timeout
        if given is None or not Token.is_unresolved(given):
            seconds_given = _DEFAULT_VISIBILITY_S if given is None else given
            _check_visibility("queue.visibility_timeout", Duration.seconds(seconds_given), needed)
        if queue.dead_letter_queue is None:
            raise ValueError(
                f"queue={queue.node.path}: it has no dead-letter queue, so a message that always fails comes "
                "back until it expires; give the queue dead_letter_queue=sqs.DeadLetterQueue(...)."
            )
        return queue.dead_letter_queue.queue

    def _grant_reading(self) -> None:
        self.queue.grant(self.function, *_READING)
        grant_use_of_key(self.function.execution_role, self.queue.encryption_master_key, "kms:Decrypt")

    def _map(self, options: SqsConsumerOptions) -> lambda_.EventSourceMapping:
        pollers = lambda_.ProvisionedPollerConfig(
            minimum_pollers=options.minimum_pollers, maximum_pollers=options.maximum_pollers
        )
        mapping = lambda_.EventSourceMapping(
            self,
            "EventSourceMapping",
            target=self.function,
            event_source_arn=self.queue.queue_arn,
            batch_size=options.batch_size,
            max_batching_window=options.max_batching_window,
            max_concurrency=options.max_concurrency,
            filters=list(options.filters) if options.filters else None,
            provisioned_poller_config=pollers if options.provisioned else None,
            report_batch_item_failures=True,
        )
        acknowledge(
            mapping,
            {
                "Serverless-LambdaEventSourceMappingDestination": "For queues a mapping has no destinations: "
                "what fails for good is kept by the queue's own dead-letter queue."
            },
        )
        # Lambda refuses the mapping of a role that may not read yet.
        mapping.node.add_dependency(self.function.execution_role)
        return mapping


def _check_number(name: str, value: int | None, limits: tuple[int, int]) -> None:
    check_range(
        name, value, *limits, unit="", allows="Lambda allows" if "receive" not in name else "SQS allows"
    )


def _check_kind(
    queue: sqs.IQueue | None,
    fifo: bool,
    dead_letter_queue: sqs.IQueue | None,
    options: SqsConsumerOptions,
) -> None:
    """Check that the arguments belong together: those of new and given, of FIFO and standard queues."""
    if queue is not None:
        settings = {
            "fifo": fifo,
            "dead_letter_queue": dead_letter_queue is not None,
            "options.visibility_timeout": options.visibility_timeout is not None,
            "options.encryption_key": options.encryption_key is not None,
            "options.content_based_deduplication": options.content_based_deduplication,
            "options.high_throughput": options.high_throughput,
        }
        if given := [name for name, is_given in settings.items() if is_given]:
            raise ValueError(f"{', '.join(given)} beside queue: set that on the queue itself.")
    is_fifo = fifo if queue is None else queue.fifo
    if is_fifo and (options.batch_size > _BATCH_SIZE_WITHOUT_WINDOW or options.max_batching_window):
        raise ValueError(
            f"batch_size={options.batch_size:,} or max_batching_window with a FIFO queue: Lambda allows "
            f"batches of at most {_BATCH_SIZE_WITHOUT_WINDOW} and no window; leave them out."
        )
    if not is_fifo and (options.content_based_deduplication or options.high_throughput):
        raise ValueError(
            "content_based_deduplication or high_throughput: SQS has them for FIFO queues only; give "
            "fifo=True, or leave them out."
        )
    if queue is None and dead_letter_queue is not None and dead_letter_queue.fifo != fifo:
        raise ValueError(
            f"dead_letter_queue.fifo={dead_letter_queue.fifo} and fifo={fifo}: SQS asks for a dead-letter "
            "queue of the same kind as its source; give one of that kind, or leave it out."
        )


def _check_concurrency(options: SqsConsumerOptions, function_options: FunctionOptions) -> None:
    most, reserved = options.max_concurrency, function_options.reserved_concurrent_executions
    if most is not None and reserved is not None and most > reserved:
        raise ValueError(
            f"max_concurrency={most:,} and reserved_concurrent_executions={reserved:,}: Lambda would read "
            "more than it may run, and throttled messages end in the dead-letter queue; reserve as much."
        )


def _needed_visibility(options: SqsConsumerOptions, timeout: Duration) -> Duration | None:
    """The least visibility timeout that AWS advises; ``None`` if it is unknown until deployment."""
    window = options.max_batching_window
    if timeout.is_unresolved() or (window is not None and window.is_unresolved()):
        return None
    seconds = _VISIBILITY_TIMEOUTS * timeout.to_seconds() + (window.to_seconds() if window else 0)
    return Duration.seconds(seconds)


def _check_visibility(name: str, given: Duration | None, needed: Duration | None) -> None:
    if given is None or needed is None or given.is_unresolved():
        return
    if given.to_seconds() < needed.to_seconds():
        raise ValueError(
            f"{name}={given.to_seconds():,.0f}: AWS advises at least {needed.to_seconds():,.0f} seconds, 6 "
            "times the function's timeout plus the batching window, so that no message comes back while it "
            "is worked on; raise it, or lower the timeout."
        )
