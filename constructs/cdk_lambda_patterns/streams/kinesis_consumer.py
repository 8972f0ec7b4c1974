"""Kinesis stream → Lambda, in order for each partition key; what fails for good → failure destination.

Use it for many records a second whose order matters for each key, that several readers want, or that must be
read again: measurements, clicks, changes. Do not use it when each message is a task of its own that may wait,
fail and be tried again without its neighbours: that is a queue.
"""

import os
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

from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.limits import check_duration, check_range
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import (
    grant_on_bucket,
    grant_on_objects,
    grant_send,
    grant_use_of_key,
)

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
_BATCH_SIZE = (1, 10_000)
_WINDOW_S = (0, 300)
_FACTOR = (1, 10)
_RETRIES = (0, 10_000)
_AGE_S = (60, 7 * 24 * 3600)
_TUMBLING_S = (0, 900)
_FILTERS = (1, 10)  # 5, and up to 10 on request

# What Lambda's pollers do at the stream in the name of the function's role, and no more: the CDK's
# KinesisEventSource also grants kinesis:ListStreams and, without a consumer, kinesis:SubscribeToShard.
# https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-create.html
_READING = (
    "kinesis:DescribeStream",
    "kinesis:DescribeStreamSummary",
    "kinesis:GetRecords",
    "kinesis:GetShardIterator",
    "kinesis:ListShards",
)
_SUBSCRIBING = ("kinesis:DescribeStreamConsumer", "kinesis:SubscribeToShard")

FailureDestination = sqs.IQueue | sns.ITopic | s3.IBucket


@dataclass(frozen=True, kw_only=True)
class KinesisConsumerOptions:
    """How a stream is read.

    Args:
        starting_position: Where a new mapping begins: ``TRIM_HORIZON`` (default: all that the stream holds),
            ``LATEST`` or ``AT_TIMESTAMP``.
        starting_timestamp: For ``AT_TIMESTAMP``: seconds since 1970.
        batch_size: Records in an invocation at most, 1 to 10,000.
        max_batching_window: How long a batch is collected, 0 to 300 seconds.
        parallelization_factor: Batches of one shard that run beside each other, 1 to 10. Records of one
            partition key stay in order.
        bisect_on_error: Whether a batch that fails is halved, again and again, until a bad record is alone.
        retry_attempts: How often a batch that fails is tried again, 0 to 10,000. Lambda's own default, for
            ever, lets one bad record stop its shard until it expires; that is not offered.
        max_record_age: Records older than this are given up, 60 seconds to 7 days. Default: only the
            stream's retention ends it.
        filters: What ``lambda_.FilterCriteria.filter`` returns, at most 10. Other records are skipped.
        tumbling_window: Length of the windows over which the handler keeps a state, up to 900 seconds.
        enhanced_fan_out: Whether the consumer is registered and gets 2 MB/s of each shard for itself.

    Raises:
        ValueError: A value is outside of what Lambda allows, or two do not go together.

    Example::

        KinesisConsumerOptions(parallelization_factor=4, max_batching_window=Duration.seconds(2))
    """

    starting_position: lambda_.StartingPosition = lambda_.StartingPosition.TRIM_HORIZON
    starting_timestamp: float | None = None
    batch_size: int = 100
    max_batching_window: Duration | None = None
    parallelization_factor: int = 1
    bisect_on_error: bool = True
    retry_attempts: int = 5
    max_record_age: Duration | None = None
    filters: Sequence[Mapping[str, Any]] | None = None
    tumbling_window: Duration | None = None
    enhanced_fan_out: bool = False

    def __post_init__(self) -> None:
        for name, limits in (
            ("batch_size", _BATCH_SIZE),
            ("parallelization_factor", _FACTOR),
            ("retry_attempts", _RETRIES),
        ):
            check_range(name, getattr(self, name), *limits, unit="", allows="Lambda allows")
        for name, limits in (
            ("max_batching_window", _WINDOW_S),
            ("max_record_age", _AGE_S),
            ("tumbling_window", _TUMBLING_S),
        ):
            check_duration(name, getattr(self, name), *limits, allows="Lambda allows")
        if self.filters is not None:
            check_range("len(filters)", len(self.filters), *_FILTERS, unit="filters", allows="Lambda allows")
        at_timestamp = self.starting_position is lambda_.StartingPosition.AT_TIMESTAMP
        if at_timestamp != (self.starting_timestamp is not None):
            raise ValueError(
                f"starting_position={self.starting_position.name} and "
                f"starting_timestamp={self.starting_timestamp}: AT_TIMESTAMP needs a timestamp, and the "
                "others take none; give both or leave both out."
            )
        if self.tumbling_window is not None and self.parallelization_factor > 1:
            raise ValueError(
                f"tumbling_window beside parallelization_factor={self.parallelization_factor}: a window's "
                "state is that of a whole shard; use more shards instead."
            )


class KinesisConsumer(Construct):
    """A function that reads a stream in order, and a place for the batches that it can never work on.

    It builds the stream (unless there is one already), the function, a failure queue (unless there is
    another destination) and the event source mapping with partial batch responses: the handler answers from
    which record on it failed, and Lambda goes on from there. A batch that fails is halved until the bad
    record is alone, tried a few times more, and then told to the failure destination while the shard goes on.

    Lambda delivers at least once, so the handler must be idempotent; for one partition key the sequence
    number of the last record that was worked on is enough to know what is new.

    Args:
        code: The handler's folder, or any ``lambda_.Code``.
        handler: ``module.function`` in it.
        stream: Owned, of another stack, or imported. Default: a new one, on demand, encrypted, kept a day.
        on_failure: A standard queue, a standard topic or a bucket. All learn which records were given up; a
            bucket gets the records themselves as well. Default: a new queue.
        options: How the stream is read.
        function_options: Settings of the function. Default: 256 MB, 1 minute.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to stream, queue and logs when the stack is deleted. Default: they stay.

    Raises:
        ValueError: A value is not allowed, or the destination is of a kind that Lambda refuses.

    Attributes:
        stream (IStream): The stream.
        function (HardenedFunction): The function.
        event_source_mapping (EventSourceMapping): What reads the stream and invokes the function.
        stream_consumer (CfnStreamConsumer | None): The registered consumer, with ``enhanced_fan_out``.
        failure_destination (IQueue | ITopic | IBucket): Where given-up batches are told to.

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
        code: str | os.PathLike[str] | lambda_.Code,
        handler: str = "handler.handler",
        stream: kinesis.IStream | None = None,
        on_failure: FailureDestination | None = None,
        options: KinesisConsumerOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = options or KinesisConsumerOptions()
        function_options = (function_options or FunctionOptions()).with_defaults(
            memory_size=256, timeout=Duration.minutes(1)
        )
        _check_destination(on_failure)
        super().__init__(scope, id)

        self.stream = stream or self._make_stream(removal_policy)
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            options=function_options,
            network=network,
            removal_policy=removal_policy,
        )
        self.failure_destination: FailureDestination = on_failure or make_failure_queue(
            self, "FailureQueue", removal_policy=removal_policy
        )
        self.stream_consumer = self._register() if options.enhanced_fan_out else None
        self._grant_reading()
        self._grant_failures()
        self.event_source_mapping = self._map(options)

    def grant_put(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let somebody put records into the stream, encrypted with a customer key or not."""
        if self.stream.encryption_key is not None:
            self.stream.encryption_key.grant(grantee, "kms:GenerateDataKey")
        return self.stream.grant(grantee, "kinesis:PutRecord", "kinesis:PutRecords")

    def metric_iterator_age(self) -> cloudwatch.Metric:
        """How far the function is behind: the age of the last record of each batch in ms, the greatest."""
        return self.function.metric("IteratorAge", statistic="Maximum", period=Duration.minutes(1))

    def _make_stream(self, removal_policy: RemovalPolicy) -> kinesis.Stream:
        return kinesis.Stream(
            self,
            "Stream",
            stream_mode=kinesis.StreamMode.ON_DEMAND,
            encryption=kinesis.StreamEncryption.MANAGED,
            removal_policy=removal_policy,
        )

    def _register(self) -> kinesis.CfnStreamConsumer:
        # A consumer must have a name; that of the node is unique for its stream and not for an account.
        name = f"{self.node.id}-{self.node.addr[-8:]}"
        return kinesis.CfnStreamConsumer(
            self, "Consumer", stream_arn=self.stream.stream_arn, consumer_name=name
        )

    def _grant_reading(self) -> None:
        role = self.function.execution_role
        self.stream.grant(role, *_READING)
        grant_use_of_key(role, self.stream.encryption_key, "kms:Decrypt")
        if self.stream_consumer is not None:
            role.add_to_principal_policy(
                iam.PolicyStatement(
                    actions=list(_SUBSCRIBING), resources=[self.stream_consumer.attr_consumer_arn]
                )
            )

    def _grant_failures(self) -> None:
        """Grant what each kind of destination takes.

        https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
        """
        role, destination = self.function.execution_role, self.failure_destination
        if bucket := _bucket(destination):
            grant_on_bucket(role, bucket, "s3:ListBucket")
            grant_on_objects(
                role,
                bucket,
                "s3:PutObject",
                prefix="aws/lambda/",
                reason="Lambda names the objects of given-up batches by the time.",
            )
            grant_use_of_key(role, bucket.encryption_key, "kms:GenerateDataKey")
        elif queue := _queue(destination):
            grant_send(role, queue)
        elif topic := _topic(destination):
            role.add_to_principal_policy(
                iam.PolicyStatement(actions=["sns:Publish"], resources=[topic.topic_arn])
            )
            # https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html
            grant_use_of_key(role, topic.master_key, "kms:GenerateDataKey", "kms:Decrypt")

    def _map(self, options: KinesisConsumerOptions) -> lambda_.EventSourceMapping:
        source = self.stream.stream_arn
        if self.stream_consumer is not None:
            source = self.stream_consumer.attr_consumer_arn
        mapping = lambda_.EventSourceMapping(
            self,
            "EventSourceMapping",
            target=self.function,
            event_source_arn=source,
            starting_position=options.starting_position,
            starting_position_timestamp=options.starting_timestamp,
            batch_size=options.batch_size,
            max_batching_window=options.max_batching_window,
            parallelization_factor=options.parallelization_factor,
            bisect_batch_on_error=options.bisect_on_error,
            retry_attempts=options.retry_attempts,
            max_record_age=options.max_record_age,
            filters=list(options.filters) if options.filters else None,
            tumbling_window=options.tumbling_window,
            report_batch_item_failures=True,
            on_failure=_Destination(_arn_of(self.failure_destination)),
        )
        # Lambda refuses the mapping of a role that may not read yet.
        mapping.node.add_dependency(self.function.execution_role)
        return mapping


@jsii.implements(lambda_.IEventSourceDlq)
class _Destination:
    """An on-failure destination whose permission is granted elsewhere, action by action."""

    def __init__(self, arn: str) -> None:
        self._arn = arn

    def bind(
        self, _target: lambda_.IEventSourceMapping, _handler: lambda_.IFunction
    ) -> lambda_.DlqDestinationConfig:
        return lambda_.DlqDestinationConfig(destination=self._arn)


# The CDK's interfaces cannot be asked for with isinstance, and imported resources are of hidden classes.
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


def _check_destination(destination: FailureDestination | None) -> None:
    ordered = _queue(destination) or _topic(destination)
    if ordered is not None and ordered.fifo:
        raise ValueError(
            f"on_failure={ordered.node.path}: it is a FIFO queue or topic, and Lambda sends to standard "
            "ones only; give one of those, or a bucket."
        )
