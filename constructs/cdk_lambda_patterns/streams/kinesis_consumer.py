"""Kinesis stream → Lambda, in order for each partition key; failed batches → failure destination.

Use it for many records a second if their order matters for each key, if several consumers read them, or if
they must be read again later: measurements, clicks, changes. Do not use it when each message is a separate
task that can wait, fail and be retried independently of the others: use a queue for that.
"""

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jsii
from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
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
)
from cdk_lambda_patterns.core.failure_queue import check_standard, make_failure_queue
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import (
    Grantee,
    grant_on_bucket,
    grant_on_objects,
    grant_publish,
    grant_send,
    grant_use_of_key,
    warn_if_not_granted,
)
from cdk_lambda_patterns.core.regions import check_region
from cdk_lambda_patterns.core.stream import make_stream

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
_PARALLELIZATION_FACTOR = Limit("Lambda", 1, 10, whole=True)
_RETRY_ATTEMPTS = Limit("Lambda", 0, 10_000, whole=True)
_MAX_RECORD_AGE = Limit("Lambda", 60, 7 * 24 * 3600, "seconds")
_TUMBLING_WINDOW = Limit("Lambda", 0, 900, "seconds")
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

FailureDestination = sqs.IQueue | sns.ITopic | s3.IBucket


@check_types
@dataclass(frozen=True, kw_only=True)
class KinesisConsumerOptions:
    """How Lambda reads the stream.

    Args:
        starting_position: Where a new mapping starts: ``TRIM_HORIZON`` (default: with the oldest record in
            the stream), ``LATEST`` or ``AT_TIMESTAMP``.
        starting_position_timestamp: For ``AT_TIMESTAMP``: seconds since 1970.
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
        enhanced_fan_out: Whether to register a consumer, which gets 2 MB/s of each shard for itself.

    Raises:
        ValueError: A value is outside what Lambda allows, or two cannot be combined.

    Example::

        KinesisConsumerOptions(parallelization_factor=4, max_batching_window=Duration.seconds(2))
    """

    starting_position: lambda_.StartingPosition = lambda_.StartingPosition.TRIM_HORIZON
    starting_position_timestamp: float | None = None
    batch_size: int = 100
    max_batching_window: Duration | None = None
    parallelization_factor: int = 1
    bisect_batch_on_error: bool = True
    retry_attempts: int = 5
    max_record_age: Duration | None = None
    filters: Sequence[Mapping[str, Any]] | None = None
    tumbling_window: Duration | None = None
    report_batch_item_failures: bool = True
    enhanced_fan_out: bool = False

    def __post_init__(self) -> None:
        BATCH_SIZE.check("batch_size", self.batch_size)
        MAX_BATCHING_WINDOW.check("max_batching_window", self.max_batching_window)
        _PARALLELIZATION_FACTOR.check("parallelization_factor", self.parallelization_factor)
        _RETRY_ATTEMPTS.check("retry_attempts", self.retry_attempts)
        _MAX_RECORD_AGE.check("max_record_age", self.max_record_age)
        _TUMBLING_WINDOW.check("tumbling_window", self.tumbling_window)
        _TIMESTAMP.check("starting_position_timestamp", self.starting_position_timestamp)
        check_filters(self.filters)
        at_timestamp = self.starting_position is lambda_.StartingPosition.AT_TIMESTAMP
        if at_timestamp != (self.starting_position_timestamp is not None):
            raise ValueError(
                f"starting_position={self.starting_position.name} and "
                f"starting_position_timestamp={self.starting_position_timestamp}: AT_TIMESTAMP needs a "
                "timestamp, and the other positions take none; give both or leave both out."
            )
        if self.tumbling_window is not None and self.parallelization_factor > 1:
            raise ValueError(
                "tumbling_window cannot be combined with parallelization_factor="
                f"{self.parallelization_factor}: the state of a window belongs to a whole shard; use more "
                "shards instead."
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
        check_standard("on_failure", _queue(on_failure) or _topic(on_failure))
        reported = _queue(on_failure) or _topic(on_failure)
        check_region(
            scope, "Lambda sends to queues and topics of its own Region only", {"on_failure": reported}
        )
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
        self._grant_reporting_failures(reader)
        self.event_source_mapping = self._make_mapping(options, reader)

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
        settings: dict[str, Any] = {"statistic": "Maximum", "period": Duration.minutes(1)}
        for name in inspect.signature(cloudwatch.MetricOptions).parameters:
            if (value := getattr(options, name, None)) is not None:
                settings[name] = value
        return self.function.metric("IteratorAge", **settings)

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

    def _grant_reporting_failures(self, reader: Grantee) -> None:
        """Grant what each kind of destination needs.

        https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
        """
        destination = self.failure_destination
        if bucket := _bucket(destination):
            grant_on_bucket(reader, bucket, "s3:ListBucket")
            grant_on_objects(
                reader,
                bucket,
                "s3:PutObject",
                prefix="aws/lambda/",
                reason="The keys of the objects that Lambda writes contain the time.",
            )
            grant_use_of_key(reader, bucket.encryption_key, "kms:GenerateDataKey")
        elif queue := _queue(destination):
            grant_send(reader, queue)
        elif topic := _topic(destination):
            grant_publish(reader, topic)

    def _make_mapping(self, options: KinesisConsumerOptions, reader: Grantee) -> lambda_.EventSourceMapping:
        source = self.stream.stream_arn
        if self.stream_consumer is not None:
            source = self.stream_consumer.attr_consumer_arn
        mapping = lambda_.EventSourceMapping(
            self,
            "EventSourceMapping",
            target=self.function,
            event_source_arn=source,
            starting_position=options.starting_position,
            starting_position_timestamp=options.starting_position_timestamp,
            batch_size=options.batch_size,
            max_batching_window=options.max_batching_window,
            parallelization_factor=options.parallelization_factor,
            bisect_batch_on_error=options.bisect_batch_on_error,
            retry_attempts=options.retry_attempts,
            max_record_age=options.max_record_age,
            filters=list(options.filters) if options.filters else None,
            tumbling_window=options.tumbling_window,
            report_batch_item_failures=options.report_batch_item_failures,
            on_failure=_Destination(_arn_of(self.failure_destination)),
        )
        # Lambda refuses the mapping if the role may not read the stream yet.
        mapping.node.add_dependency(reader)
        return mapping


@jsii.implements(lambda_.IEventSourceDlq)
class _Destination:
    """An on-failure destination that grants nothing: `KinesisConsumer` grants the single actions."""

    def __init__(self, arn: str) -> None:
        self._arn = arn

    def bind(
        self, _target: lambda_.IEventSourceMapping, _handler: lambda_.IFunction
    ) -> lambda_.DlqDestinationConfig:
        return lambda_.DlqDestinationConfig(destination=self._arn)


# isinstance does not work with the CDK's interfaces, and the classes of imported resources are not public.
def _bucket(destination: FailureDestination | None) -> s3.IBucket | None:
    return cast(s3.IBucket, destination) if hasattr(destination, "bucket_arn") else None


def _queue(destination: FailureDestination | None) -> sqs.IQueue | None:
    return cast(sqs.IQueue, destination) if hasattr(destination, "queue_arn") else None


def _topic(destination: FailureDestination | None) -> sns.ITopic | None:
    return cast(sns.ITopic, destination) if hasattr(destination, "topic_arn") else None


def _arn_of(destination: FailureDestination) -> str:
    if bucket := _bucket(destination):
        return bucket.bucket_arn
    if queue := _queue(destination):
        return queue.queue_arn
    return cast(sns.ITopic, destination).topic_arn
