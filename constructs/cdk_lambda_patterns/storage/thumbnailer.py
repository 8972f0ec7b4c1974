"""S3 upload → Lambda → thumbnails in a second bucket + a row of metadata in DynamoDB.

Use it when pictures are uploaded and small versions of them are shown soon after. Do not use it when any size
may be requested (resize behind CloudFront instead), or for pictures that are in the bucket already: those
raise no event.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from aws_cdk import Duration, RemovalPolicy, Size, Token
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket import make_bucket
from cdk_lambda_patterns.core.bucket_notifications import check_suffixes, notify_function
from cdk_lambda_patterns.core.failure_queue import check_standard, make_failure_queue
from cdk_lambda_patterns.core.function import HardenedFunction
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import Limit, check_choice
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import (
    QueueDestination,
    grant_on_bucket,
    grant_on_objects,
    grant_send,
    grant_use_of_key,
)
from cdk_lambda_patterns.core.table import make_table, text

OutputFormat = Literal["webp", "jpeg"]

_SIZES = Limit("Thumbnailer", 1, 20, "sizes")
_SIZE = Limit("Thumbnailer", 1, 4_096, "pixels")
_QUALITY = Limit("the encoder", 1, 100)
_PIXELS = Limit("Thumbnailer", 1, 1_000_000_000, "pixels")
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
            twice the memory. The default fits into the default memory; raise both together: 12 bytes a pixel
            and 150 MB are enough. No edge may have more than a million.

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
        table: Table for the metadata, partition key ``source_key`` (string). Default: a new one.
        failure_queue: Standard queue for what failed permanently. Default: a new one.
        sizes: Longest edges of the thumbnails, in pixels, each 1 to 4,096; at most 20.
        options: Which pictures, and what the thumbnails look like.
        function_options: Settings of the function: memory, timeout, logs.
        asynchronous: Retries and maximum age of the events.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to buckets, table, queue and logs when the stack is deleted. Default:
            they are retained. ``DESTROY`` also empties the buckets.

    Raises:
        ValueError: A value is not allowed, or thumbnails would invoke the function again.

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
        _check_sizes(sizes)
        _check_recursion(source, destination, options)
        check_standard("failure_queue", failure_queue)
        super().__init__(scope, id)
        self._options = options
        self._sizes = tuple(sizes)
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
                "SIZES": ",".join(map(str, self._sizes)),
                "OUTPUT_FORMAT": self._options.output_format,
                "OUTPUT_PREFIX": self._options.output_prefix,
                "QUALITY": str(self._options.quality),
                "BACKGROUND": self._options.background,
                "MAX_OBJECT_SIZE": str(max_object_size.to_bytes()),
                "MAX_PIXELS": str(self._options.max_pixels),
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
        table.grant(role, "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:DeleteItem")
        grant_send(role, self.failure_queue)
        grant_use_of_key(role, source.encryption_key, "kms:Decrypt")
        grant_use_of_key(role, destination.encryption_key, "kms:GenerateDataKey")
        # https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/encryption.usagenotes.html
        grant_use_of_key(role, table.encryption_key, "kms:Decrypt", "kms:DescribeKey")


def _check_sizes(sizes: Sequence[int]) -> None:
    _SIZES.check("len(sizes)", len(sizes))
    for number, size in enumerate(sizes):
        _SIZE.check(f"sizes[{number}]", size)
        if size in sizes[:number]:
            raise ValueError(f"sizes={tuple(sizes)}: duplicate size {size}; remove one of them.")


def _check_recursion(
    source: s3.IBucket | None, destination: s3.IBucket | None, options: ThumbnailOptions
) -> None:
    """Refuse the same bucket as source and destination if the prefixes overlap."""
    if source is None or destination is None:
        return
    if source is not destination and source.bucket_name != destination.bucket_name:
        return
    prefix, output_prefix = options.prefix, options.output_prefix
    if prefix.startswith(output_prefix) or output_prefix.startswith(prefix):
        raise ValueError(
            f"source and destination are one bucket, prefix={prefix!r} and output_prefix={output_prefix!r}: "
            "each thumbnail would invoke the function again, endlessly. Use two buckets, or prefixes that do "
            "not overlap, such as 'photos/' and 'thumbnails/'."
        )
