"""Kinesis stream → Lambda, in order for each partition key; failed batches → failure destination.

Use it for many records a second if their order matters for each key, if several consumers read them, or if
they must be read again later: measurements, clicks, changes. Do not use it when each message is a separate
task that can wait, fail and be retried independently of the others: use a queue for that.
"""

import re
from dataclasses import dataclass

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import (
    Code,
    check_function,
    check_place_of_mapping,
    claim_mapping,
    make_reader,
)
from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import Grantee, grant_use_of_key, warn_if_not_granted
from cdk_lambda_patterns.core.polled_streams import (
    FailureDestination as FailureDestination,
)
from cdk_lambda_patterns.core.polled_streams import (
    StreamPolling,
    check_failure_destination,
    iterator_age,
    make_stream_mapping,
)
from cdk_lambda_patterns.core.stream import make_stream

# Until 2100: what is beyond is meant in milliseconds, and Lambda refuses a time in the future.
_TIMESTAMP = Limit("Lambda", 1, 4_102_444_800, "seconds since 1970", whole=False)

# What Lambda's pollers do with the function's role. The CDK's KinesisEventSource also grants
# kinesis:ListStreams and, without a registered consumer, kinesis:SubscribeToShard.
# https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html
_READING = (
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
)
_SUBSCRIBING = ("kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard")

_CONSUMER_NAME = 128  # characters


@check_types
@dataclass(frozen=True, kw_only=True)
class KinesisConsumerOptions(StreamPolling):
    """How Lambda reads the stream.

    Args:
        starting_position: Where a new mapping starts: ``TRIM_HORIZON`` (default: with the oldest record in
            the stream), ``LATEST`` or ``AT_TIMESTAMP``.
        batch_size: Maximum number of records in an invocation, 1 to 10,000.
        max_batching_window: How long Lambda collects a batch, 0 to 300 seconds.
        parallelization_factor: Number of batches of a shard that are processed concurrently, 1 to 10. Records
            with the same partition key stay in order.
        bisect_batch_on_error: Whether Lambda splits a failed batch in two, repeatedly, until it has isolated
            the bad record.
        retry_attempts: How often Lambda retries a failed batch, 0 to 10,000. Lambda's own default is without
            limit, which lets one bad record block its shard until it expires; it is not available here.
        max_record_age: Lambda discards records older than this, 60 seconds to 7 days. Default: only the
            stream's retention period limits it.
        filters: A sequence of what ``lambda_.FilterCriteria.filter`` returns, at most 10. Lambda skips other
            records.
        tumbling_window: Length of the windows for which the handler aggregates a state, up to 900 seconds.
        report_batch_item_failures: Whether the handler returns the first record that failed. ``False`` for a
            handler of your own that returns something else: then it fails the whole batch by raising.
        starting_position_timestamp: For ``AT_TIMESTAMP``: seconds since 1970.
        enhanced_fan_out: Whether to register a consumer, which gets 2 MB/s of each shard for itself.

    Raises:
        ValueError: A value is outside what Lambda allows, or two cannot be combined.

    Example::

        KinesisConsumerOptions(parallelization_factor=4, max_batching_window=Duration.seconds(2))
    """

    starting_position_timestamp: float | None = None
    enhanced_fan_out: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _TIMESTAMP.check("starting_position_timestamp", self.starting_position_timestamp)
        at_timestamp = self.starting_position is lambda_.StartingPosition.AT_TIMESTAMP
        if at_timestamp != (self.starting_position_timestamp is not None):
            raise ValueError(
                f"starting_position={self.starting_position.name} and "
                f"starting_position_timestamp={self.starting_position_timestamp}: AT_TIMESTAMP needs a "
                "timestamp, and the other positions take none; give both or leave both out."
            )


@check_types
class KinesisConsumer(Construct):
    """A function that reads a stream in order, and a destination for batches that fail permanently.

    It builds the stream (unless you give one), the function, a failure queue (unless you give another
    destination), and the event source mapping with partial batch responses: the handler returns the first
    record that failed, and Lambda continues from there. Lambda splits a failed batch until it has isolated
    the bad record, retries that a few times, then reports it to the failure destination and goes on.

    Lambda delivers at least once, so the handler must be idempotent. For each partition key it is enough to
    remember the sequence number of the last processed record to recognise new ones.

    Args:
        code: The folder of a new function's handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        function: An existing function instead, or a version or alias of it, such as ``CanaryAlias.alias``.
            Its role gets a policy for reading the stream and reporting failures.
        stream: Owned, from another stack, or imported. Default: a new on-demand stream, encrypted, with a
            retention period of one day.
        on_failure: A standard queue, a standard topic or a bucket, to which Lambda reports the batches
            that it discarded; a bucket gets the records as well. Default: a new queue.
        options: How Lambda reads the stream.
        function_options: Settings of a new function. Default: 256 MB, 1 minute.
        network: The VPC that a new function runs in. Default: none of yours.
        removal_policy: What happens to stream, queue and logs when the stack is deleted. Default: they are
            retained.

    Raises:
        ValueError: A value is not allowed, Lambda does not support this kind of destination, or another
            construct makes the same mapping.

    Attributes:
        stream (IStream): The stream.
        function (IFunction): The function that the mapping invokes: the new one (a ``HardenedFunction``), or
            the given function, version or alias.
        event_source_mapping (EventSourceMapping): Reads the stream and invokes the function.
        stream_consumer (CfnStreamConsumer | None): The registered consumer, with ``enhanced_fan_out``.
        failure_destination (IQueue | ITopic | IBucket): Where Lambda reports the batches that it discarded.

    Example::

        clicks = KinesisConsumer(self, "Clicks", code="worker")
        clicks.metric_iterator_age().create_alarm(self, "Late", threshold=60000, evaluation_periods=3)

    https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code | None = None,
        handler: str = DEFAULT_HANDLER,
        function: lambda_.IFunction | None = None,
        stream: kinesis.IStream | None = None,
        on_failure: FailureDestination | None = None,
        options: KinesisConsumerOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = options or KinesisConsumerOptions()
        target = check_function(function, code, handler, function_options, network)
        function_options = (function_options or FunctionOptions()).with_defaults(
            memory_size=256, timeout=Duration.minutes(1)
        )
        check_failure_destination(scope, on_failure)
        check_place_of_mapping(scope, "streams", stream=stream, function=function)
        super().__init__(scope, id)

        self.stream = stream or make_stream(self, "Stream", removal_policy=removal_policy)
        self.function, reader = make_reader(self, target, handler, function_options, network, removal_policy)
        self.failure_destination: FailureDestination = on_failure or make_failure_queue(
            self, "FailureQueue", removal_policy=removal_policy
        )
        self.stream_consumer = self._register() if options.enhanced_fan_out else None
        if self.stream_consumer is None:  # else the source is the consumer, which no other construct has
            claim_mapping(self, self.stream, "stream_arn", self.function)
        self._grant_reading(reader)
        self.event_source_mapping = make_stream_mapping(
            self,
            options,
            source_arn=self.stream.stream_arn
            if self.stream_consumer is None
            else self.stream_consumer.attr_consumer_arn,
            function=self.function,
            reader=reader,
            on_failure=self.failure_destination,
            starting_position_timestamp=options.starting_position_timestamp,
        )

    def grant_put(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a principal to put records into the stream, and to use its customer managed key, if any.

        The policies of stream and key get a statement for a principal of another account.
        """
        key = self.stream.encryption_key
        if key is not None:
            warn_if_not_granted(self, key.grant(grantee, "kms:GenerateDataKey"), grantee, key)
        put = self.stream.grant(grantee, "kinesis:PutRecord", "kinesis:PutRecords")
        return warn_if_not_granted(self, put, grantee, self.stream)

    def metric_iterator_age(self, options: cloudwatch.MetricOptions | None = None) -> cloudwatch.Metric:
        """How far the function is behind: the age of the last record of each batch, in milliseconds.

        Args:
            options: Settings of the metric. Default: the maximum per minute.
        """
        return iterator_age(self.function, options)

    def _register(self) -> kinesis.CfnStreamConsumer:
        # A consumer must have a name. It must be unique among the consumers of its stream.
        # https://docs.aws.amazon.com/kinesis/latest/APIReference/API_RegisterStreamConsumer.html
        suffix = f"-{self.node.addr[-8:]}"
        name = re.sub(r"[^a-zA-Z0-9_.-]", "-", self.node.id)[: _CONSUMER_NAME - len(suffix)] + suffix
        return kinesis.CfnStreamConsumer(
            self, "Consumer", stream_arn=self.stream.stream_arn, consumer_name=name
        )

    def _grant_reading(self, reader: Grantee) -> None:
        warn_if_not_granted(self, self.stream.grant(reader, *_READING), reader, self.stream)
        grant_use_of_key(reader, self.stream.encryption_key, "kms:Decrypt")
        if self.stream_consumer is not None:
            consumer = self.stream_consumer.attr_consumer_arn
            iam.Grant.add_to_principal(grantee=reader, actions=list(_SUBSCRIBING), resource_arns=[consumer])
