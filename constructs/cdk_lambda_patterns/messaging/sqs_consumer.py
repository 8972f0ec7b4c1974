"""SQS queue (standard or FIFO) → Lambda; messages that fail permanently → dead-letter queue.

Use it for work that can wait: a message stays in the queue until it succeeds, a spike makes the queue longer
instead of causing errors, and a bad message affects only itself. Use a FIFO queue if order matters within a
group. Do not use it when the sender needs the answer, or when several readers need every message (put an SNS
topic or a stream in front of the queues).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aws_cdk import Annotations, Duration, RemovalPolicy, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import (
    BATCH_SIZE,
    MAX_BATCHING_WINDOW,
    Code,
    check_filters,
    check_function,
    check_place_of_mapping,
    claim_mapping,
    make_reader,
    refuse_settings,
    timeout_of,
    unqualified,
)
from cdk_lambda_patterns.core.failure_queue import (
    check_dead_letter_queue,
    encrypt_by_default,
    make_failure_queue,
    retention_of_source,
)
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import (
    Grantee,
    acknowledge,
    grant_use_of_key,
    warn_if_not_granted,
)
from cdk_lambda_patterns.core.regions import OWN_KEYS, check_region

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
_BATCH_SIZE_WITHOUT_WINDOW = 10
_MAX_CONCURRENCY = Limit("Lambda", 2, 1_000, whole=True)
_MINIMUM_POLLERS = Limit("Lambda", 2, 200, whole=True)
_MAXIMUM_POLLERS = Limit("the CDK", 2, 2_000, whole=True)  # Lambda allows 10,000
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
_MAX_RECEIVE_COUNT = Limit("SQS", 1, 1_000, whole=True)
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SetQueueAttributes.html
_VISIBILITY_TIMEOUT = Limit("SQS", 0, 43_200, "seconds")
_DEFAULT_VISIBILITY_TIMEOUT = 30

# What Lambda's pollers do with the function's role. The CDK's SqsEventSource grants two more actions, which
# they do not use.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-permissions
_READING = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")

# "at least six times the function timeout, plus the value of the batching window". Below once the timeout,
# Lambda refuses the mapping:
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html#events-sqs-queueconfig
_FUNCTION_TIMEOUTS = 6


@check_types
@dataclass(frozen=True, kw_only=True)
class SqsConsumerOptions:
    """How Lambda reads the queue, and how a new queue is configured.

    Args:
        batch_size: Maximum number of messages in an invocation, 1 to 10; up to 10,000 for a standard queue
            with a ``max_batching_window`` of at least one second.
        max_batching_window: How long Lambda collects a batch, 0 to 300 seconds. Standard queues only.
        max_concurrency: Maximum number of concurrent invocations, 2 to 1,000. Default: the function's limit.
        filters: A sequence of what ``lambda_.FilterCriteria.filter`` returns, at most 10. Lambda deletes a
            message that passes none of them without an invocation.
        minimum_pollers: Provisioned mode: pollers that always run, 2 to 200. They are charged by the hour.
        maximum_pollers: Provisioned mode: maximum number of pollers, 2 to 2,000. Cannot be combined with
            ``max_concurrency``.
        report_batch_item_failures: Whether the handler returns which messages failed. ``False`` for a handler
            of your own that returns something else: then it fails the whole batch by raising.
        max_receive_count: Number of attempts before a message moves to the dead-letter queue, 1 to 1,000. AWS
            advises at least 5, because throttled invocations count.
        visibility_timeout: Of the new queue. Default: 6 times the function's timeout, plus the window. It
            must be given if one of them is known only at deployment.
        encryption_key: Customer managed key of the new queues. Default: a key that SQS manages.
        content_based_deduplication: Whether SQS uses the hash of the body where a message has no
            deduplication id. New FIFO queue only.
        high_throughput: Whether deduplication and throughput apply per message group instead of to the whole
            queue. New FIFO queue only.

    Raises:
        ValueError: A value is outside what Lambda or SQS allow, or two cannot be combined.

    Example::

        SqsConsumerOptions(batch_size=100, max_batching_window=Duration.seconds(5), max_concurrency=10)
    """

    batch_size: int = 10
    max_batching_window: Duration | None = None
    max_concurrency: int | None = None
    filters: Sequence[Mapping[str, Any]] | None = None
    minimum_pollers: int | None = None
    maximum_pollers: int | None = None
    report_batch_item_failures: bool = True
    max_receive_count: int = 5
    visibility_timeout: Duration | None = None
    encryption_key: kms.IKey | None = None
    content_based_deduplication: bool = False
    high_throughput: bool = False

    def __post_init__(self) -> None:
        BATCH_SIZE.check("batch_size", self.batch_size)
        MAX_BATCHING_WINDOW.check("max_batching_window", self.max_batching_window)
        _MAX_CONCURRENCY.check("max_concurrency", self.max_concurrency)
        check_filters(self.filters)
        _MINIMUM_POLLERS.check("minimum_pollers", self.minimum_pollers)
        _MAXIMUM_POLLERS.check("maximum_pollers", self.maximum_pollers)
        _MAX_RECEIVE_COUNT.check("max_receive_count", self.max_receive_count)
        _VISIBILITY_TIMEOUT.check("visibility_timeout", self.visibility_timeout)
        window = self.max_batching_window
        waits = window is not None and (window.is_unresolved() or window.to_seconds() >= 1)
        if self.batch_size > _BATCH_SIZE_WITHOUT_WINDOW and not waits:
            raise ValueError(
                f"batch_size={self.batch_size:,} without max_batching_window: Lambda allows more than "
                f"{_BATCH_SIZE_WITHOUT_WINDOW} only with a window of at least 1 second; add one, such as "
                "Duration.seconds(1)."
            )
        minimum, maximum = self.minimum_pollers, self.maximum_pollers
        if minimum is not None and maximum is not None and _exceeds(minimum, maximum):
            raise ValueError(
                f"minimum_pollers={minimum:,} and maximum_pollers={maximum:,}: minimum_pollers must not "
                "exceed maximum_pollers."
            )
        if self.provisioned and self.max_concurrency is not None:
            raise ValueError(
                "max_concurrency cannot be combined with minimum_pollers or maximum_pollers; use "
                "maximum_pollers to limit the concurrency (10 invocations per poller)."
            )

    @property
    def provisioned(self) -> bool:
        """Whether the pollers are provisioned."""
        return self.minimum_pollers is not None or self.maximum_pollers is not None


@check_types
class SqsConsumer(Construct):
    """A function that processes the messages of a queue, and a dead-letter queue.

    It builds the queue and its dead-letter queue (unless you give a queue), the function, and the event
    source mapping with partial batch responses: the handler returns which messages of a batch failed, and SQS
    delivers only those again. After ``max_receive_count`` attempts a message moves to the dead-letter queue.
    Once the cause is fixed, ``aws sqs start-message-move-task`` moves it back. A new queue retains messages
    for 7 days, a FIFO queue for 14; the dead-letter queue retains them for 14 days.

    SQS delivers at least once, so the handler must be idempotent. In a FIFO queue a failed message blocks the
    later ones of its group and no others; the handler must then report those as failed as well.

    Args:
        code: The folder of a new function's handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        function: An existing function instead, or a version or alias of it, such as ``CanaryAlias.alias``.
            Its role gets a policy for reading the queue. If it is imported, its timeout is unknown, so
            ``options.visibility_timeout`` must be given for a new queue.
        queue: Owned, from another stack, or imported. Default: a new queue. If the queue is owned, its
            visibility timeout, dead-letter queue and kind are checked; the settings of an imported one are
            unknown, so a warning says what they must be.
        fifo: Whether the new queue is a FIFO queue.
        dead_letter_queue: For the new queue, and FIFO if that is. Default: a new one.
        options: How Lambda reads the queue, and how a new queue is configured.
        function_options: Settings of a new function. Default: 256 MB, 30 seconds.
        network: The VPC that a new function runs in. Default: none of yours.
        removal_policy: What happens to queues and logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: A value is not allowed, two cannot be combined, the queue does not suit the function, or
            another construct makes the same mapping.

    Attributes:
        queue (IQueue): The queue that Lambda reads.
        dead_letter_queue (IQueue | None): The queue for messages that failed permanently; ``None`` if
            ``queue`` is imported, because its dead-letter queue is unknown here.
        function (IFunction): The function that the mapping invokes: the new one (a ``HardenedFunction``), or
            the given function, version or alias.
        event_source_mapping (EventSourceMapping): Reads the queue and invokes the function.

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
        code: Code | None = None,
        handler: str = DEFAULT_HANDLER,
        function: lambda_.IFunction | None = None,
        queue: sqs.IQueue | None = None,
        fifo: bool = False,
        dead_letter_queue: sqs.IQueue | None = None,
        options: SqsConsumerOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = options or SqsConsumerOptions()
        target = check_function(function, code, handler, function_options, network)
        function_options = (function_options or FunctionOptions()).with_defaults(
            memory_size=256, timeout=Duration.seconds(30)
        )
        timeout = timeout_of(function) if function is not None else function_options.timeout
        needed = _needed_visibility_timeout(timeout, options.max_batching_window)
        check_place_of_mapping(scope, "queues", queue=queue, function=function)
        check_region(scope, OWN_KEYS, {"options.encryption_key": options.encryption_key})
        _check_concurrency(options, function, function_options)
        if queue is None:
            _check_new_queue(fifo, options, needed)
        else:
            _refuse_settings_of_a_new_queue(fifo, dead_letter_queue, options)
        if fifo or (queue is not None and queue.fifo):
            _check_batches_of_fifo_queue(options)
        super().__init__(scope, id)

        self.queue: sqs.IQueue = queue or self._make_queue(
            fifo, dead_letter_queue, options, needed, removal_policy
        )
        self.dead_letter_queue = self._check_settings(self.queue, needed)
        self.function, reader = make_reader(self, target, handler, function_options, network, removal_policy)
        claim_mapping(self, self.queue, "queue_arn", self.function)
        warn_if_not_granted(self, self.queue.grant(reader, *_READING), reader, self.queue)
        grant_use_of_key(reader, self.queue.encryption_master_key, "kms:Decrypt")
        self.event_source_mapping = self._make_mapping(options, reader)

    def grant_send(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a principal to send messages to the queue, and to use its customer managed key, if any.

        The policies of queue and key get a statement for a service, an account or a principal of another
        account. Give a service its condition:
        ``iam.ServicePrincipal("s3.amazonaws.com", conditions={"ArnLike": {"aws:SourceArn": ...}})``.
        """
        key = self.queue.encryption_master_key
        if key is not None:
            use = key.grant(grantee, "kms:GenerateDataKey", "kms:Decrypt")
            warn_if_not_granted(self, use, grantee, key)
        send = self.queue.grant(grantee, "sqs:SendMessage")
        return warn_if_not_granted(self, send, grantee, self.queue)

    def _make_queue(
        self,
        fifo: bool,
        dead_letter_queue: sqs.IQueue | None,
        options: SqsConsumerOptions,
        needed: Duration | None,
        removal_policy: RemovalPolicy,
    ) -> sqs.Queue:
        key, per_group = options.encryption_key, options.high_throughput
        dead_letter_queue = dead_letter_queue or make_failure_queue(
            self, "DeadLetterQueue", fifo=fifo, encryption_key=key, removal_policy=removal_policy
        )
        queue = sqs.Queue(
            self,
            "Queue",
            fifo=fifo or None,  # CloudFormation refuses an explicit false
            content_based_deduplication=options.content_based_deduplication or None,
            deduplication_scope=sqs.DeduplicationScope.MESSAGE_GROUP if per_group else None,
            fifo_throughput_limit=sqs.FifoThroughputLimit.PER_MESSAGE_GROUP_ID if per_group else None,
            visibility_timeout=options.visibility_timeout or needed,
            retention_period=retention_of_source(fifo),
            encryption_master_key=key,
            enforce_ssl=True,
            dead_letter_queue=sqs.DeadLetterQueue(
                queue=dead_letter_queue, max_receive_count=options.max_receive_count
            ),
            # No other queue may use this one as its dead-letter queue. (The dead-letter queue cannot name
            # this queue as its only source: each of the two would need the other's ARN first.)
            redrive_allow_policy=sqs.RedriveAllowPolicy(redrive_permission=sqs.RedrivePermission.DENY_ALL),
            removal_policy=removal_policy,
        )
        encrypt_by_default(queue)
        return queue

    def _check_settings(self, queue: sqs.IQueue, needed: Duration | None) -> sqs.IQueue | None:
        """Check the settings of the queue as far as they are known; return its dead-letter queue."""
        resource = queue.node.default_child
        if not isinstance(queue, sqs.Queue) or not isinstance(resource, sqs.CfnQueue):
            seconds = f"{needed.to_seconds():,.0f} seconds" if needed else "6 times the function's timeout"
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:sqsImportedQueue",
                f"{queue.node.path} is imported, so its settings are unknown here. Make sure that its "
                f"visibility timeout is at least {seconds}, that it has a redrive policy with a dead-letter "
                "queue, and that its queue policy does not deny the function's role.",
            )
            return None
        given = resource.visibility_timeout
        given = _DEFAULT_VISIBILITY_TIMEOUT if given is None else given
        if needed is None or Token.is_unresolved(given):
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:sqsUnknownTimeout",
                f"Whether the visibility timeout of {queue.node.path} is long enough is known only at "
                "deployment. Make sure that it is at least 6 times the function's timeout, plus the batching "
                "window. Lambda refuses the mapping if it is less than once the timeout.",
            )
        elif given < needed.to_seconds():
            raise ValueError(
                f"visibility_timeout={given:,.0f}: AWS advises at least {needed.to_seconds():,.0f} seconds, "
                "6 times the function's timeout plus the batching window, so that SQS does not deliver a "
                "message again while it is being processed; raise it, or lower the function's timeout."
            )
        return check_dead_letter_queue(self, queue)

    def _make_mapping(self, options: SqsConsumerOptions, reader: Grantee) -> lambda_.EventSourceMapping:
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
            report_batch_item_failures=options.report_batch_item_failures,
        )
        acknowledge(
            mapping,
            {
                "Serverless-LambdaEventSourceMappingDestination": "A mapping of a queue has no destinations: "
                "the queue's own dead-letter queue gets messages that failed permanently."
            },
        )
        # Lambda refuses the mapping if the role may not read the queue yet.
        mapping.node.add_dependency(reader)
        return mapping


def _check_new_queue(fifo: bool, options: SqsConsumerOptions, needed: Duration | None) -> None:
    if not fifo and (options.content_based_deduplication or options.high_throughput):
        raise ValueError(
            "content_based_deduplication or high_throughput without fifo=True: only FIFO queues have them; "
            "give fifo=True, or leave them out."
        )
    if needed is None and options.visibility_timeout is None:
        raise ValueError(
            "visibility_timeout is missing: the timeout of the function, or the batching window, is unknown "
            "here; give options.visibility_timeout, at least 6 times the timeout, plus the window."
        )


def _refuse_settings_of_a_new_queue(
    fifo: bool, dead_letter_queue: sqs.IQueue | None, options: SqsConsumerOptions
) -> None:
    refuse_settings(
        "queue",
        {
            "fifo": fifo,
            "dead_letter_queue": dead_letter_queue is not None,
            "options.visibility_timeout": options.visibility_timeout is not None,
            "options.encryption_key": options.encryption_key is not None,
            "options.content_based_deduplication": options.content_based_deduplication,
            "options.high_throughput": options.high_throughput,
        },
    )


def _check_batches_of_fifo_queue(options: SqsConsumerOptions) -> None:
    window = options.max_batching_window
    waits = window is not None and not window.is_unresolved() and window.to_seconds() > 0
    if options.batch_size > _BATCH_SIZE_WITHOUT_WINDOW or waits:
        raise ValueError(
            f"batch_size={options.batch_size:,} or max_batching_window with a FIFO queue: Lambda allows "
            f"batches of at most {_BATCH_SIZE_WITHOUT_WINDOW} and no window; leave them out."
        )


def _check_concurrency(
    options: SqsConsumerOptions, function: lambda_.IFunction | None, function_options: FunctionOptions
) -> None:
    maximum = options.max_concurrency
    reserved: float | None = function_options.reserved_concurrent_executions
    if function is not None:
        resource = unqualified(function).node.default_child
        if isinstance(resource, lambda_.CfnFunction):
            reserved = resource.reserved_concurrent_executions
    if maximum is not None and reserved is not None and _exceeds(maximum, reserved):
        raise ValueError(
            f"max_concurrency={maximum:,} and reserved_concurrent_executions={reserved:,}: the function "
            "would be throttled, and throttled messages end up in the dead-letter queue; max_concurrency "
            "must not exceed reserved_concurrent_executions."
        )


def _exceeds(one: float, other: float) -> bool:
    """Whether a number exceeds another one; false if one is known only at deployment."""
    return one > other and not Token.is_unresolved(one) and not Token.is_unresolved(other)


def _needed_visibility_timeout(timeout: Duration | None, window: Duration | None) -> Duration | None:
    """Return the shortest visibility timeout that AWS advises; ``None`` if it is unknown here."""
    if timeout is None or timeout.is_unresolved() or (window is not None and window.is_unresolved()):
        return None
    seconds = _FUNCTION_TIMEOUTS * timeout.to_seconds() + (window.to_seconds() if window else 0)
    return Duration.seconds(seconds)
