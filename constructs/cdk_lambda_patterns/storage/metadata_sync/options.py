"""Which objects of a bucket have metadata, how their events come, how often all of it is compared."""

from dataclasses import dataclass, field

from aws_cdk import Duration
from aws_cdk import aws_s3 as s3

from cdk_lambda_patterns.core.bucket_notifications import check_suffixes
from cdk_lambda_patterns.core.limits import check_choice, check_duration, check_range
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.storage.metadata_sync.events import EVENTBRIDGE, NOTIFICATIONS, check_delivery

_KEY_BYTES = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_DAY = 24 * 60 * 60

# A message waits in a failure queue for two weeks at most, and a redrive then brings an event as late.
_LEAST_TOMBSTONE_DAYS, _MOST_TOMBSTONE_DAYS = 15, 365


@dataclass(frozen=True, kw_only=True)
class MetadataOptions:
    """Which objects have a row, what is in it, and how the bucket tells.

    Args:
        prefix: Only objects whose key starts with this. Empty for all.
        suffixes: Only objects whose key ends with one of these. S3 compares letter case too. Empty for all.
        delivery: ``"notifications"`` of the bucket, or ``"eventbridge"``, for a bucket whose notifications
            are not yours to set and for several consumers of its events.
        user_metadata: Whether the row has the object's user metadata: up to 2 KB more to write and to keep.
        tags: Whether the row has the object's tags: one more call to S3 for each event.
        tombstones: How long the row of a deleted object stays, 15 to 365 days, so that a late event of it is
            known for what it is. A redrive of the failure queue may bring one after 14 days.

    Raises:
        ValueError: A value is outside of what is allowed.

    Example::

        MetadataOptions(prefix="invoices/", suffixes=(".pdf", ".xml"), delivery="eventbridge", tags=True)
    """

    prefix: str = ""
    suffixes: tuple[str, ...] = ()
    delivery: str = NOTIFICATIONS
    user_metadata: bool = False
    tags: bool = False
    tombstones: Duration = field(default_factory=lambda: Duration.days(_LEAST_TOMBSTONE_DAYS))

    def __post_init__(self) -> None:
        size = len(self.prefix.encode())
        check_range("len(prefix)", size, 0, _KEY_BYTES, unit="bytes", allows="a key in S3 has room for")
        check_choice("delivery", self.delivery, (NOTIFICATIONS, EVENTBRIDGE))
        check_suffixes(self.suffixes)
        check_delivery(self.delivery, self.suffixes, tags=self.tags)
        check_duration(
            "tombstones",
            self.tombstones,
            _LEAST_TOMBSTONE_DAYS * _DAY,
            _MOST_TOMBSTONE_DAYS * _DAY,
            allows="an event may come two weeks late, so this pattern allows",
        )


@dataclass(frozen=True, kw_only=True)
class InventorySource:
    """An S3 Inventory of the bucket, which the reconciler reads instead of listing.

    Args:
        bucket: Where S3 puts the inventories.
        inventory_id: Id of the inventory configuration. Its format must be CSV, its fields must have at least
            size, last modified date, ETag and storage class, and of versions the current ones alone.
        prefix: Prefix of the inventories in that bucket, as it stands in the configuration.

    Raises:
        ValueError: The prefix ends with a slash, which S3 adds by itself.
    """

    bucket: s3.IBucket
    inventory_id: str
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.prefix.endswith("/"):
            raise ValueError(f"prefix={self.prefix!r}: S3 puts a slash after it by itself; leave that out.")

    def place(self, source: s3.IBucket) -> str:
        """Where the inventories of a bucket are: what the keys of their manifests start with.

        https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
        """
        inner = f"{source.bucket_name}/{self.inventory_id}"
        return f"{self.prefix}/{inner}" if self.prefix else inner


@dataclass(frozen=True, kw_only=True)
class ReconcilerOptions:
    """How often table and bucket are compared, and from what.

    Args:
        every: From the start of one comparison to the start of the next, 5 minutes to 30 days.
        inventory: Read this inventory instead of listing the bucket: for buckets of very many objects.
        function_options: Settings of the reconciler's function. Its timeout is as long as Lambda allows by
            default; a comparison that takes longer goes on with the next tick.

    Raises:
        ValueError: A value is outside of what is allowed.

    Example::

        ReconcilerOptions(every=Duration.hours(6), function_options=FunctionOptions(memory_size=2048))
    """

    every: Duration = field(default_factory=lambda: Duration.days(1))
    inventory: InventorySource | None = None
    function_options: FunctionOptions | None = None

    def __post_init__(self) -> None:
        check_duration(
            "every", self.every, 300, 30 * _DAY, allows="the schedule looks every 5 minutes, so it may be"
        )
