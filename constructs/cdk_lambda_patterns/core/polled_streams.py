"""What consumers of streams have in common: options, failure destination, mapping and metric.

They differ in the source: what it is, and what the function's role needs to read it.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import jsii
from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import BATCH_SIZE, MAX_BATCHING_WINDOW, check_filters
from cdk_lambda_patterns.core.failure_queue import check_standard
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.permissions import (
    Grantee,
    grant_on_bucket,
    grant_on_objects,
    grant_publish,
    grant_send,
    grant_use_of_key,
)
from cdk_lambda_patterns.core.regions import check_region

# https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
_PARALLELIZATION_FACTOR = Limit("Lambda", 1, 10, whole=True)
_RETRY_ATTEMPTS = Limit("Lambda", 0, 10_000, whole=True)
_MAX_RECORD_AGE = Limit("Lambda", 60, 7 * 24 * 3600, "seconds")
_TUMBLING_WINDOW = Limit("Lambda", 0, 900, "seconds")

FailureDestination: TypeAlias = sqs.IQueue | sns.ITopic | s3.IBucket


@check_types
@dataclass(frozen=True, kw_only=True)
class StreamPolling:
    """How Lambda reads any stream; the options of a consumer describe each field.

    Raises:
        ValueError: A value is outside what Lambda allows, or two cannot be combined.
    """

    starting_position: lambda_.StartingPosition = lambda_.StartingPosition.TRIM_HORIZON
    batch_size: int = 100
    max_batching_window: Duration | None = None
    parallelization_factor: int = 1
    bisect_batch_on_error: bool = True
    retry_attempts: int = 5
    max_record_age: Duration | None = None
    filters: Sequence[Mapping[str, Any]] | None = None
    tumbling_window: Duration | None = None
    report_batch_item_failures: bool = True

    def __post_init__(self) -> None:
        BATCH_SIZE.check("batch_size", self.batch_size)
        MAX_BATCHING_WINDOW.check("max_batching_window", self.max_batching_window)
        _PARALLELIZATION_FACTOR.check("parallelization_factor", self.parallelization_factor)
        _RETRY_ATTEMPTS.check("retry_attempts", self.retry_attempts)
        _MAX_RECORD_AGE.check("max_record_age", self.max_record_age)
        _TUMBLING_WINDOW.check("tumbling_window", self.tumbling_window)
        check_filters(self.filters)
        if self.tumbling_window is not None and self.parallelization_factor > 1:
            raise ValueError(
                "tumbling_window cannot be combined with parallelization_factor="
                f"{self.parallelization_factor}: the state of a window belongs to a whole shard; use more "
                "shards instead."
            )


def check_failure_destination(scope: Construct, on_failure: FailureDestination | None) -> None:
    """Check that Lambda can report to a failure destination; ``None`` (not given) passes.

    Raises:
        ValueError: It is a FIFO queue or topic, or in another Region.
    """
    reported = _queue(on_failure) or _topic(on_failure)
    check_standard("on_failure", reported)
    check_region(scope, "Lambda sends to queues and topics of its own Region only", {"on_failure": reported})


def make_stream_mapping(
    scope: Construct,
    options: StreamPolling,
    *,
    source_arn: str,
    function: lambda_.IFunction,
    reader: Grantee,
    on_failure: FailureDestination,
    starting_position_timestamp: float | None = None,
) -> lambda_.EventSourceMapping:
    """Make the mapping of a stream, which invokes the function and reports the batches that it discards.

    Args:
        scope: The construct that makes it.
        options: How Lambda reads the stream.
        source_arn: What Lambda reads.
        function: What it invokes.
        reader: What holds the permissions of the mapping: it may read the source already.
        on_failure: Where discarded batches are reported; ``reader`` gets the permission here.
        starting_position_timestamp: For ``AT_TIMESTAMP``.
    """
    mapping = lambda_.EventSourceMapping(
        scope,
        "EventSourceMapping",
        target=function,
        event_source_arn=source_arn,
        starting_position=options.starting_position,
        starting_position_timestamp=starting_position_timestamp,
        batch_size=options.batch_size,
        max_batching_window=options.max_batching_window,
        parallelization_factor=options.parallelization_factor,
        bisect_batch_on_error=options.bisect_batch_on_error,
        retry_attempts=options.retry_attempts,
        max_record_age=options.max_record_age,
        filters=list(options.filters) if options.filters else None,
        tumbling_window=options.tumbling_window,
        report_batch_item_failures=options.report_batch_item_failures,
        on_failure=_Destination(_grant_reporting(reader, on_failure)),
    )
    # Lambda refuses the mapping if the role may not read the stream yet.
    mapping.node.add_dependency(reader)
    return mapping


def iterator_age(
    function: lambda_.IFunction, options: cloudwatch.MetricOptions | None = None
) -> cloudwatch.Metric:
    """Return the metric IteratorAge of a function; by default the maximum per minute."""
    settings: dict[str, Any] = {"statistic": "Maximum", "period": Duration.minutes(1)}
    for name in inspect.signature(cloudwatch.MetricOptions).parameters:
        if (value := getattr(options, name, None)) is not None:
            settings[name] = value
    return function.metric("IteratorAge", **settings)


def _grant_reporting(reader: Grantee, destination: FailureDestination) -> str:
    """Grant what each kind of destination needs; return its ARN.

    https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
    https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html
    """
    if bucket := _bucket(destination):
        grant_on_bucket(reader, bucket, "s3:ListBucket")
        reason = "The keys of the objects that Lambda writes contain the time."
        grant_on_objects(reader, bucket, "s3:PutObject", prefix="aws/lambda/", reason=reason)
        grant_use_of_key(reader, bucket.encryption_key, "kms:GenerateDataKey")
        return bucket.bucket_arn
    if queue := _queue(destination):
        grant_send(reader, queue)
        return queue.queue_arn
    topic = cast(sns.ITopic, destination)
    grant_publish(reader, topic)
    return topic.topic_arn


@jsii.implements(lambda_.IEventSourceDlq)
class _Destination:
    """An on-failure destination that grants nothing: `_grant_reporting` grants the single actions."""

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
