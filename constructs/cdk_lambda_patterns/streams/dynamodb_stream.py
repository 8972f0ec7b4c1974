"""DynamoDB table → its stream → Lambda, in order for each item; failed batches → failure destination.

Use it to act on changes of items that are committed already: read models, search indexes, notifications,
archives of expired items. Do not use it to be asked before a change, for more than two readers of a table's
stream (``KinesisConsumer`` with the table's Kinesis stream), or to see changes of more than a day ago.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from aws_cdk import Annotations, Duration, RemovalPolicy, Stack, Token
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import (
    Code,
    check_filters,
    check_function,
    check_place_of_mapping,
    claim_mapping,
    make_reader,
)
from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER
from cdk_lambda_patterns.core.limits import check_choice
from cdk_lambda_patterns.core.options import FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import Grantee, acknowledge_wildcard, grant_use_of_key
from cdk_lambda_patterns.core.polled_streams import (
    FailureDestination as FailureDestination,
)
from cdk_lambda_patterns.core.polled_streams import (
    StreamPolling,
    check_failure_destination,
    iterator_age,
    make_stream_mapping,
)
from cdk_lambda_patterns.core.sharing import identity, recorded
from cdk_lambda_patterns.core.unseen_changes import properties_of

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/iam-policy-example-lamda-process-dynamodb-streams.html
_READING = ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator")

ExpiredItems = Literal["include", "exclude", "only"]
_EXPIRED_ITEMS: tuple[ExpiredItems, ...] = ("include", "exclude", "only")

# https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/time-to-live-ttl-streams.html
_BY_TIME_TO_LIVE: dict[ExpiredItems, dict[str, Any]] = {
    "only": {"type": ["Service"], "principalId": ["dynamodb.amazonaws.com"]},
    "exclude": {"principalId": [{"exists": False}]},
}
# https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_StreamSpecification.html
_IMAGES = {
    "KEYS_ONLY": frozenset[str](),
    "NEW_IMAGE": frozenset({"NewImage"}),
    "OLD_IMAGE": frozenset({"OldImage"}),
    "NEW_AND_OLD_IMAGES": frozenset({"NewImage", "OldImage"}),
}


@check_types
@dataclass(frozen=True, kw_only=True)
class DynamoDbStreamConsumerOptions(StreamPolling):
    """How Lambda reads the stream.

    Args:
        starting_position: Where a new mapping starts: ``TRIM_HORIZON`` (default: with the oldest record in
            the stream) or ``LATEST``, which may miss changes while the mapping is made.
        batch_size: Maximum number of records in an invocation, 1 to 10,000.
        max_batching_window: How long Lambda collects a batch, 0 to 300 seconds.
        parallelization_factor: Number of batches of a shard that are processed concurrently, 1 to 10. The
            changes of an item stay in order.
        bisect_batch_on_error: Whether Lambda splits a failed batch in two, repeatedly, until it has isolated
            the bad record.
        retry_attempts: How often Lambda retries a failed batch, 0 to 10,000. Lambda's own default is without
            limit, which lets one bad record block its shard until it expires; it is not available here.
        max_record_age: Lambda discards records older than this, 60 seconds to 7 days. Default: only the
            stream limits it, which retains records for a day.
        filters: A sequence of what ``lambda_.FilterCriteria.filter`` returns, at most 10. Lambda skips other
            records.
        tumbling_window: Length of the windows for which the handler aggregates a state, up to 900 seconds.
        report_batch_item_failures: Whether the handler returns the first record that failed. ``False`` for a
            handler of your own that returns something else: then it fails the whole batch by raising.
        expired_items: Whether the function gets deletions of items past their time to live: ``include``
            (default), ``exclude``, or ``only`` them. It is added to each of the filters. In the replicas of a
            global table, deletions that were replicated count as those of a user.
        view_type: The images that the handler needs. A table whose stream lacks them is refused. Default: the
            handler takes what there is.

    Raises:
        ValueError: A value is outside what Lambda allows, or two cannot be combined.

    Example::

        DynamoDbStreamConsumerOptions(expired_items="only", view_type=dynamodb.StreamViewType.OLD_IMAGE)
    """

    expired_items: ExpiredItems = "include"
    view_type: dynamodb.StreamViewType | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("expired_items", self.expired_items, _EXPIRED_ITEMS)
        if self.starting_position is lambda_.StartingPosition.AT_TIMESTAMP:
            raise ValueError(
                "starting_position=AT_TIMESTAMP: Lambda reads streams of DynamoDB from TRIM_HORIZON or "
                "LATEST; give one of these."
            )
        check_filters(_with_identity(self.filters, self.expired_items))
        if self.expired_items == "only" and self.view_type is dynamodb.StreamViewType.NEW_IMAGE:
            raise ValueError(
                "expired_items='only' cannot be combined with view_type=NEW_IMAGE: the record of a deletion "
                "has no new image; give OLD_IMAGE, or leave view_type out if the keys are enough."
            )


@check_types
class DynamoDbStreamConsumer(Construct):
    """A function that reads a table's stream in order, and a destination for batches that fail permanently.

    It builds the function, a failure queue (unless you give another destination), and the event source
    mapping with partial batch responses: the handler returns the first record that failed, and Lambda
    continues from there. Lambda splits a failed batch until it has isolated the bad record, retries that a
    few times, then reports it to the failure destination and goes on.

    Lambda delivers at least once, so the handler must be idempotent. For each item it is enough to remember
    the sequence number of the last processed record to recognise new ones.

    Args:
        table: A ``Table`` or ``TableV2`` with a stream: owned, from another stack, or imported with the
            ARN of its stream.
        code: The folder of a new function's handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        function: An existing function instead, or a version or alias of it, such as ``CanaryAlias.alias``.
            Its role gets a policy for reading the stream and reporting failures.
        on_failure: A standard queue, a standard topic or a bucket, to which Lambda reports the batches
            that it discarded; a bucket gets the records as well. Default: a new queue.
        options: How Lambda reads the stream.
        function_options: Settings of a new function. Default: 256 MB, 1 minute.
        network: The VPC that a new function runs in. Default: none of yours.
        removal_policy: What happens to queue and logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: A value is not allowed, the table has no stream or not the images that are needed, the ARN
            of an imported table's stream is another's, Lambda does not support this kind of destination, or
            another construct makes the same mapping.

    Attributes:
        table (ITable): The table.
        function (IFunction): The function that the mapping invokes: the new one (a ``HardenedFunction``), or
            the given function, version or alias.
        event_source_mapping (EventSourceMapping): Reads the stream and invokes the function.
        failure_destination (IQueue | ITopic | IBucket): Where Lambda reports the batches that it discarded.

    Example::

        stream = dynamodb.StreamViewType.NEW_AND_OLD_IMAGES
        key = dynamodb.Attribute(name="order", type=dynamodb.AttributeType.STRING)
        table = dynamodb.Table(self, "Orders", partition_key=key, stream=stream)
        changes = DynamoDbStreamConsumer(self, "Changes", table=table, code="worker")
        changes.metric_iterator_age().create_alarm(self, "Late", threshold=60000, evaluation_periods=3)

    https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        table: dynamodb.ITable,
        code: Code | None = None,
        handler: str = DEFAULT_HANDLER,
        function: lambda_.IFunction | None = None,
        on_failure: FailureDestination | None = None,
        options: DynamoDbStreamConsumerOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = options or DynamoDbStreamConsumerOptions()
        target = check_function(function, code, handler, function_options, network)
        function_options = (function_options or FunctionOptions()).with_defaults(
            memory_size=256, timeout=Duration.minutes(1)
        )
        check_failure_destination(scope, on_failure)
        check_place_of_mapping(scope, "streams", table=table, function=function)
        stream_arn = _stream_of(table, options)
        super().__init__(scope, id)

        self.table = table
        self.function, reader = make_reader(self, target, handler, function_options, network, removal_policy)
        self.failure_destination: FailureDestination = on_failure or make_failure_queue(
            self, "FailureQueue", removal_policy=removal_policy
        )
        claim_mapping(self, table, "table_stream_arn", self.function)
        self._warn_of_readers()
        self._grant_reading(reader, stream_arn)
        self.event_source_mapping = make_stream_mapping(
            self,
            replace(
                options,
                filters=_with_identity(options.filters, options.expired_items),
                expired_items="include",
            ),
            source_arn=stream_arn,
            function=self.function,
            reader=reader,
            on_failure=self.failure_destination,
        )

    def metric_iterator_age(self, options: cloudwatch.MetricOptions | None = None) -> cloudwatch.Metric:
        """How far the function is behind: the age of the last record of each batch, in milliseconds.

        Args:
            options: Settings of the metric. Default: the maximum per minute.
        """
        return iterator_age(self.function, options)

    def _warn_of_readers(self) -> None:
        """Let the CDK warn of more than two readers of a stream.

        https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Streams.html
        """
        stream = identity(self.table, "table_stream_arn")
        readers = [path for [source, _], path in recorded(self, "mapping") if source == stream]
        if len(readers) > 2:
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:streamReaders",
                f"{self.table.node.path} has {len(readers)} consumers of its stream ({', '.join(readers)}). "
                "DynamoDB throttles more than two readers of a shard; send the changes to a Kinesis stream "
                "(KinesisConsumer), or let one function publish them.",
            )

    def _grant_reading(self, reader: Grantee, stream_arn: str) -> None:
        iam.Grant.add_to_principal(grantee=reader, actions=list(_READING), resource_arns=[stream_arn])
        all_streams = f"{self.table.table_arn}/stream/*"
        iam.Grant.add_to_principal(
            grantee=reader, actions=["dynamodb:ListStreams"], resource_arns=[all_streams]
        )
        acknowledge_wildcard(
            reader, all_streams, "ListStreams is about all streams of a table.", target=self.table
        )
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
        grant_use_of_key(reader, self.table.encryption_key, "kms:Decrypt")


def _with_identity(
    filters: Sequence[Mapping[str, Any]] | None, expired_items: ExpiredItems
) -> Sequence[Mapping[str, Any]] | None:
    """Add to each filter who deleted the item.

    Raises:
        ValueError: A filter has a condition on that already, can match none of the expired items that are
            asked for, or is known at deployment only.
    """
    if expired_items == "include":
        return filters
    found, condition = [], {"userIdentity": _BY_TIME_TO_LIVE[expired_items]}
    for number, one in enumerate(filters or [{"pattern": "{}"}]):
        pattern = None if Token.is_unresolved(one["pattern"]) else json.loads(one["pattern"])
        if pattern is None or any("userIdentity" in fields for fields in _alternatives(pattern)):
            raise ValueError(
                f"expired_items={expired_items!r} cannot be combined with filters[{number}], which has "
                "userIdentity or is known at deployment only; write the condition into that filter."
            )
        if expired_items == "only" and not any(_may_be_deletion(*wish) for wish in _wishes(pattern)):
            raise ValueError(
                f"expired_items='only': filters[{number}] matches none of them. The record of an expired "
                "item has the eventName REMOVE and no NewImage; ask for its OldImage or Keys."
            )
        found.append(lambda_.FilterCriteria.filter(pattern | condition))
    return found


def _alternatives(pattern: object) -> Iterator[dict[str, Any]]:
    """Yield the fields of one level of a pattern, for each alternative of its ``$or``."""
    if not isinstance(pattern, Mapping):
        yield {}
        return
    fields = {name: value for name, value in pattern.items() if name != "$or"}
    for one in pattern.get("$or", [None]):
        yield from (fields | more for more in _alternatives(one))


def _wishes(pattern: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], set[str]]]:
    """Yield what each alternative of a filter asks for: its fields, and the images that must be there."""
    for fields in _alternatives(pattern):
        for change in _alternatives(fields.get("dynamodb")):
            yield fields, {image for image in ("NewImage", "OldImage") if _must_exist(change.get(image))}


def _must_exist(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(
            all(map(_must_exist, below)) if name == "$or" else _must_exist(below)
            for name, below in value.items()
        )
    return value is not None and {"exists": False} not in value


def _may_be_deletion(fields: dict[str, Any], images: set[str]) -> bool:
    names = fields.get("eventName", ["REMOVE"])
    return "NewImage" not in images and any(not isinstance(one, str) or one == "REMOVE" for one in names)


def _check_stream(table: dynamodb.ITable, stream: str) -> str:
    """Check that an ARN can be that of the table's stream; return it.

    Raises:
        ValueError: It is another's, or without the time at which the stream was enabled.
    """
    if "/stream/*" in str(Stack.of(table).resolve(stream)):
        raise ValueError(
            f"table={table.node.path}: its table_stream_arn ends with /stream/*. Of the stream of a "
            "replica the CDK knows no more, and Lambda needs the whole ARN: import the replica with "
            "TableV2.from_table_attributes(table_arn=..., table_stream_arn=...); in its Region, "
            "`aws dynamodb describe-table` shows the ARN as LatestStreamArn."
        )
    given, wanted = stream.split(":", 5), f"{table.table_arn}/stream/".split(":", 5)
    if len(given) == 1 and Token.is_unresolved(stream):
        return stream
    pairs = zip(given, wanted, strict=False) if len(wanted) == 6 else ()
    known = [pair for pair in pairs if not any(map(Token.is_unresolved, pair))]
    named = Token.is_unresolved(given[-1]) or re.fullmatch("table/[^/]+/stream/.+", given[-1])
    if len(given) < 6 or not named or not all(one.startswith(other) for one, other in known):
        raise ValueError(
            f"table_stream_arn={stream!r}: this is no stream of {table.node.path}; give what "
            "`aws dynamodb describe-table` shows as LatestStreamArn."
        )
    return stream


def _stream_of(table: dynamodb.ITable, options: DynamoDbStreamConsumerOptions) -> str:
    """Return the ARN of the table's stream.

    Raises:
        ValueError: There is none, or it cannot have what the options ask for.
    """
    resource = table.node.default_child
    if not isinstance(resource, dynamodb.CfnTable | dynamodb.CfnGlobalTable):
        if table.table_stream_arn is None:
            raise ValueError(
                f"table={table.node.path}: it is imported without its stream; import it with "
                "Table.from_table_attributes(table_arn=..., table_stream_arn=...)."
            )
        return _check_stream(table, table.table_stream_arn)
    properties = properties_of(resource)
    view = (properties.get("streamSpecification") or {}).get("streamViewType")
    if view is None:
        setting = "stream" if isinstance(resource, dynamodb.CfnTable) else "dynamo_stream"
        raise ValueError(
            f"table={table.node.path}: it has no stream; give the table "
            f"{setting}=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES."
        )
    images = _IMAGES[view if view in list(_IMAGES) else "NEW_AND_OLD_IMAGES"]  # it may be a token
    needed = _IMAGES[options.view_type.name] if options.view_type else frozenset()
    if absent := needed - images:
        raise ValueError(
            f"view_type={options.view_type.name if options.view_type else None}: the stream of "
            f"{table.node.path} is {view}, without {' and '.join(sorted(absent))}; give that table a stream "
            "of NEW_AND_OLD_IMAGES."
        )
    for number, one in enumerate(options.filters or ()):
        pattern = {} if Token.is_unresolved(one["pattern"]) else json.loads(one["pattern"])
        lacking = [wanted - images for _, wanted in _wishes(pattern)]
        if all(lacking):
            missing = sorted(set[str]().union(*lacking))
            raise ValueError(
                f"filters[{number}] asks for {' and '.join(missing)}, and the stream of {table.node.path} is "
                f"{view}: nothing would match; give that table a stream of NEW_AND_OLD_IMAGES."
            )
    expiry = properties.get("timeToLiveSpecification") or {}
    on = expiry.get("attributeName") and expiry.get("enabled") is not False
    if options.expired_items == "only" and not on:
        raise ValueError(
            f"expired_items='only': no item of {table.node.path} expires; give that table "
            "time_to_live_attribute='expires_at', for example."
        )
    return cast(str, table.table_stream_arn)
