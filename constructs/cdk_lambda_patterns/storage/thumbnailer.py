"""S3 upload → Lambda → thumbnails in a second bucket + a row of metadata in DynamoDB.

Use it when pictures are uploaded and small versions of them are shown soon after. Do not use it when any size
may be requested (resize behind CloudFront instead), or for pictures that are in the bucket already: those
raise no event (``BatchOperation`` invokes a function for each of them).
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, cast, get_args

from aws_cdk import Duration, Fn, RemovalPolicy, Size, Token
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.bucket_notifications import check_place, check_suffixes, notify_function
from cdk_lambda_patterns.core.failure_queue import check_standard, make_failure_queue
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import Limit, check_choice, text_of
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import (
    QueueDestination,
    grant_on_bucket,
    grant_on_objects,
    grant_on_table,
    grant_send,
    grant_use_of_key,
)
from cdk_lambda_patterns.core.regions import SAME_REGION, TABLE_PLACE, check_region
from cdk_lambda_patterns.core.sharing import identity, record, recorded
from cdk_lambda_patterns.core.table import check_keys, make_table, text

OutputFormat = Literal["webp", "jpeg"]

_SIZES = Limit("Thumbnailer", 1, 20, "sizes")
_SIZE = Limit("Thumbnailer", 1, 4_096, "pixels", whole=True)
_QUALITY = Limit("the encoder", 1, 100, whole=True)
_PIXELS = Limit("Thumbnailer", 1, 1_000_000_000, "pixels", whole=True)
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/upload-objects.html (5 GB in one upload)
_OBJECT_SIZE = Limit("S3", 1, 5 * 1024, "MB")
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_PREFIX = Limit("S3", 0, 1_024, "bytes")
# The rest of a thumbnail's key is for the picture's name, or its hash where that is too long.
_OUTPUT_PREFIX = Limit("Thumbnailer", 0, 900, "bytes")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")

# Lambda gives one whole vCPU at this size, and resizing uses one core.
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
_ONE_VCPU_MB = 1_769

# Measured with the costliest file of each format (benchmarks/README.md); objects of up to 64 MB included.
_BYTES_PER_PIXEL, _MEGABYTES, _USUAL_OBJECT = 12, 150, 64


@check_types
@dataclass(frozen=True, kw_only=True)
class ThumbnailOptions:
    """Which pictures become thumbnails, and what the thumbnails look like.

    Args:
        prefix: Only objects whose key starts with this. Empty for all.
        suffixes: Only objects whose key ends with one of these. S3 compares case: ``.jpg`` does not match
            ``.JPG``. Empty for all; files that are not pictures then go to the failure queue.
        output_prefix: Prefix of the thumbnails' keys.
        output_format: ``"webp"`` (smaller, has transparency) or ``"jpeg"``.
        quality: 1 (smallest) to 100 (best).
        background: Colour behind transparent pictures in JPEG thumbnails, ``"#rrggbb"``.
        max_object_size: Larger objects are not read; 1 MB to 5 GB. Default: 64 MB.
        max_pixels: Pictures with more pixels are not decoded. An AVIF may have half as many, because it takes
            twice the memory. ``memory_size`` must be enough for 12 bytes a pixel and 150 MB. No edge may have
            more than a million.
        incomplete_jpeg: Whether JPEGs without their end marker are decoded, as some cameras and interrupted
            uploads leave them; what is missing of the picture is grey. Default: they are ``TruncatedImage``.

    Raises:
        ValueError: A value is not allowed.

    Example::

        ThumbnailOptions(prefix="photos/", output_format="jpeg", quality=85)
    """

    prefix: str = ""
    suffixes: Sequence[str] = ()
    output_prefix: str = ""
    output_format: OutputFormat = "webp"
    quality: int = 80
    background: str = "#ffffff"
    max_object_size: Size | None = None
    max_pixels: int = 64_000_000
    incomplete_jpeg: bool = False

    def __post_init__(self) -> None:
        _PREFIX.check("len(prefix)", len(self.prefix.encode()))
        check_suffixes(self.suffixes)
        _OUTPUT_PREFIX.check("len(output_prefix)", len(self.output_prefix.encode()))
        check_choice("output_format", self.output_format, get_args(OutputFormat))
        _QUALITY.check("quality", self.quality)
        if not _COLOUR.fullmatch(self.background) and not Token.is_unresolved(self.background):
            raise ValueError(f"background={self.background!r}: give a colour in the form '#rrggbb'.")
        _OBJECT_SIZE.check("max_object_size", self.max_object_size)
        _PIXELS.check("max_pixels", self.max_pixels)


@check_types
class Thumbnailer(Construct):
    """Makes thumbnails of the pictures in a bucket, and deletes them when a picture is deleted.

    It builds a source bucket (versioned, so that S3 sends an event for each of two quick writes), a bucket
    for the thumbnails, a table with a row for every picture, the function, and a queue for what failed
    permanently. An object that can never succeed (not a picture, truncated, too large) goes there at once
    with the reason; an event that may succeed later goes there after three attempts.

    After any order of uploads, overwrites, deletions and repeated or late events, the thumbnails and the row
    are those of the object that is in the bucket now.

    Args:
        source: The bucket with the pictures: owned, from another stack, or imported. Default: a new one.
            Notifications of a bucket from another stack are merged with those that it has; if that stack
            sets notifications as well, its next deployment replaces them, so let it use EventBridge.
        destination: Bucket for the thumbnails. Default: a new one. It may be the source if the prefixes
            in ``options`` do not overlap.
        table: Table for the metadata, partition key ``source_key`` (string). Default: a new one. Each source
            needs its own table and its own place for thumbnails.
        failure_queue: Standard queue for what failed permanently. Default: a new one.
        sizes: Longest edges of the thumbnails, in pixels, each 1 to 4,096; at most 20.
        options: Which pictures, and what the thumbnails look like.
        function_options: Settings of the function: memory, timeout, logs.
        asynchronous: Retries and maximum age of the events.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to buckets, table, queue and logs when the stack is deleted. Default:
            they are retained. ``DESTROY`` also empties the buckets.

    Raises:
        ValueError: A value is not allowed, or thumbnails would invoke the function again, perhaps by way of
            other constructs.

    Attributes:
        source_bucket (IBucket): The bucket with the pictures.
        destination_bucket (IBucket): The bucket with the thumbnails.
        table (ITable): A row for every picture.
        function (HardenedFunction): The function.
        failure_queue (IQueue): What failed permanently, in the form of Lambda's own failure records.

    Example::

        thumbnails = Thumbnailer(self, "Thumbnails", sizes=(128, 512))
        thumbnails.destination_bucket.grant_read(website)

    https://docs.aws.amazon.com/lambda/latest/dg/with-s3-tutorial.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        source: s3.IBucket | None = None,
        destination: s3.IBucket | None = None,
        table: dynamodb.ITable | None = None,
        failure_queue: sqs.IQueue | None = None,
        sizes: Sequence[int] = (128, 256, 512),
        options: ThumbnailOptions | None = None,
        function_options: FunctionOptions | None = None,
        asynchronous: AsyncOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        options = options or ThumbnailOptions()
        function_options = function_options or FunctionOptions()
        checked_sizes = _checked_sizes(sizes)
        _check_memory(function_options.memory_size or _ONE_VCPU_MB, options)
        check_keys(table, "source_key")
        _check_recursion(source, destination, options)
        check_standard("failure_queue", failure_queue)
        check_region(scope, SAME_REGION, {"failure_queue": failure_queue})
        check_region(scope, TABLE_PLACE, {"table": table}, in_account=True)
        if source is not None:
            check_place(scope, source)
        super().__init__(scope, id)
        self._options = options
        self._sizes = checked_sizes
        self._removal_policy = removal_policy

        self.source_bucket = source or make_bucket(
            self, "Source", versioned=True, removal_policy=removal_policy
        )
        self.destination_bucket = destination or make_bucket(
            self, "Destination", versioned=False, removal_policy=removal_policy
        )
        self.table = table or make_table(
            self, "Table", partition_key=text("source_key"), removal_policy=removal_policy
        )
        self.failure_queue = failure_queue or make_failure_queue(
            self, "FailureQueue", removal_policy=removal_policy
        )
        self._check_sharing()
        self._check_cycle()
        self.function = self._make_function(function_options, asynchronous or AsyncOptions(), network)
        self._grant_permissions()
        notify_function(
            self,
            self.source_bucket,
            self.function,
            s3.EventType.OBJECT_CREATED,
            s3.EventType.OBJECT_REMOVED,
            s3.EventType.LIFECYCLE_EXPIRATION,
            s3.EventType.OBJECT_RESTORE_COMPLETED,  # an archived picture can be read again
            prefix=options.prefix,
            suffixes=options.suffixes,
        )

    def _check_sharing(self) -> None:
        """Refuse a table or a place for thumbnails that has those of another source: keys may be equal."""
        source = identity(self.source_bucket, "bucket_name")
        for what, place, prefix in (
            ("table", identity(self.table, "table_name"), ""),
            ("destination", identity(self.destination_bucket, "bucket_name"), self._options.output_prefix),
        ):
            for other, its_place, its_prefix in recorded(self, f"thumbnailer-{what}"):
                if its_place == place and other != source and _overlap(prefix, its_prefix):
                    raise ValueError(
                        f"{what}: another Thumbnailer uses it for another source, and pictures of both may "
                        "have the same key; each source needs its own table, and bucket or output_prefix."
                    )
            record(self, f"thumbnailer-{what}", [source, place, prefix])

    def _check_cycle(self) -> None:
        """Refuse thumbnails of thumbnails without end: this construct's become the pictures of its source."""
        options = self._options
        this = _Flow(
            path=self.node.path,
            source=identity(self.source_bucket, "bucket_name"),
            prefix=options.prefix,
            suffixes=tuple(options.suffixes),
            destination=identity(self.destination_bucket, "bucket_name"),
            output_prefix=options.output_prefix + options.prefix,  # a thumbnail's key contains the picture's
            extension=".webp" if options.output_format == "webp" else ".jpg",
        )
        record(self, "thumbnailer-flow", this)
        flows = [_Flow(*flow) for flow in recorded(self, "thumbnailer-flow")]
        chains = [[this]]
        while chains:
            chain = chains.pop()
            following = [flow for flow in flows if chain[-1].feeds(flow)]
            if this in following:
                raise ValueError(
                    f"{' -> '.join(flow.path for flow in (*chain, this))}: the thumbnails of each are the "
                    "pictures of the next, endlessly. Use another destination, or prefixes or suffixes that "
                    "no thumbnail has."
                )
            chains += [[*chain, flow] for flow in following if flow not in chain]

    def _make_function(
        self,
        function_options: FunctionOptions,
        asynchronous: AsyncOptions,
        network: NetworkOptions | None,
    ) -> HardenedFunction:
        max_object_size = self._options.max_object_size or Size.mebibytes(64)
        return HardenedFunction(
            self,
            "Function",
            code=pattern_source("storage", "thumbnailer"),
            handler="thumbnailer.handler.handler",
            description="Makes thumbnails of the pictures in a bucket",
            asynchronous=asynchronous,
            on_failure=QueueDestination(self.failure_queue),
            environment={
                "DESTINATION_BUCKET": self.destination_bucket.bucket_name,
                "TABLE_NAME": self.table.table_name,
                "FAILURE_QUEUE_URL": self.failure_queue.queue_url,
                "SIZES": self._sizes,
                "OUTPUT_FORMAT": self._options.output_format,
                "OUTPUT_PREFIX": self._options.output_prefix,
                "QUALITY": text_of(self._options.quality),
                "BACKGROUND": self._options.background,
                "MAX_OBJECT_SIZE": str(max_object_size.to_bytes()),
                "MAX_PIXELS": text_of(self._options.max_pixels),
                "INCOMPLETE_JPEG": json.dumps(self._options.incomplete_jpeg),
                "POWERTOOLS_SERVICE_NAME": "thumbnailer",
                "POWERTOOLS_LOG_LEVEL": "INFO",
            },
            options=function_options.with_defaults(
                memory_size=_ONE_VCPU_MB,
                timeout=Duration.minutes(1),
            ),
            network=network,
            removal_policy=self._removal_policy,
        )

    def _grant_permissions(self) -> None:
        role = self.function.execution_role
        source, destination, table = self.source_bucket, self.destination_bucket, self.table
        grant_on_objects(
            role,
            source,
            "s3:GetObject",
            prefix=self._options.prefix,
            reason="Any object under the watched prefix may be uploaded.",
        )
        # Without this, S3 answers 403 instead of 404 for a deleted object, which would look like a failure.
        # https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
        grant_on_bucket(role, source, "s3:ListBucket")
        grant_on_objects(
            role,
            destination,
            "s3:PutObject",
            "s3:DeleteObject",
            prefix=self._options.output_prefix,
            reason="The keys of the thumbnails follow those of the pictures.",
        )
        grant_on_table(role, table, "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem")
        grant_send(role, self.failure_queue)
        grant_use_of_key(role, source.encryption_key, "kms:Decrypt")
        grant_use_of_key(role, destination.encryption_key, "kms:GenerateDataKey")


def _checked_sizes(sizes: Sequence[int]) -> str:
    """Return the sizes as the function reads them.

    Raises:
        ValueError: There are none or too many, or one is not allowed or occurs twice.
    """
    if any(isinstance(size, str) for size in sizes):  # a list that is known only at the deployment
        return Fn.join(",", cast(list[str], list(sizes)))
    _SIZES.check("len(sizes)", len(sizes))
    for number, size in enumerate(sizes):
        _SIZE.check(f"sizes[{number}]", size)
        if size in sizes[:number]:
            raise ValueError(f"sizes={tuple(sizes)}: duplicate size {size}; remove one of them.")
    return ",".join(map(text_of, sizes))


def _check_memory(memory_size: int, options: ThumbnailOptions) -> None:
    """Refuse limits that the memory is not enough for: Lambda would kill the function three times."""
    max_object_size = options.max_object_size or Size.mebibytes(_USUAL_OBJECT)
    if Token.is_unresolved(memory_size) or Token.is_unresolved(options.max_pixels):
        return
    objects = 0 if max_object_size.is_unresolved() else math.ceil(max_object_size.to_bytes() / 2**20)
    others = _MEGABYTES + max(0, objects - _USUAL_OBJECT)
    needed = math.ceil(options.max_pixels * _BYTES_PER_PIXEL / 2**20 + others)
    if memory_size < needed:
        pixels = (memory_size - others) * 2**20 // _BYTES_PER_PIXEL
        raise ValueError(
            f"memory_size={memory_size:,}: max_pixels={options.max_pixels:,} takes up to {needed:,} MB; set "
            f"memory_size to at least {needed:,}"
            + (f", or max_pixels to at most {pixels:,}." if pixels > 0 else ", or lower both limits.")
        )


class _Flow(NamedTuple):
    """Where a Thumbnailer has its pictures from, and what keys its thumbnails get."""

    path: str
    source: str
    prefix: str
    suffixes: tuple[str, ...]
    destination: str
    output_prefix: str
    extension: str

    def feeds(self, other: "_Flow") -> bool:
        """Whether thumbnails of this one are pictures of another one."""
        return (
            self.destination == other.source
            and _overlap(self.output_prefix, other.prefix)
            and any(_overlap(self.extension[::-1], suffix[::-1]) for suffix in other.suffixes or ("",))
        )


def _overlap(prefix: str, other: str) -> bool:
    return prefix.startswith(other) or other.startswith(prefix)


def _check_recursion(
    source: s3.IBucket | None, destination: s3.IBucket | None, options: ThumbnailOptions
) -> None:
    """Refuse the same bucket as source and destination if the prefixes overlap."""
    if source is None or destination is None:
        return
    if identity(source, "bucket_name") != identity(destination, "bucket_name"):
        return
    prefix, output_prefix = options.prefix, options.output_prefix
    if _overlap(prefix, output_prefix):
        raise ValueError(
            f"source and destination are one bucket, prefix={prefix!r} and output_prefix={output_prefix!r}: "
            "each thumbnail would invoke the function again, endlessly. Use two buckets, or prefixes that do "
            "not overlap, such as 'photos/' and 'thumbnails/'."
        )
