"""Which objects have a row, what a row contains, how events arrive, and how often everything is compared."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from aws_cdk import Duration
from aws_cdk import aws_s3 as s3

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.bucket_notifications import check_suffixes
from cdk_lambda_patterns.core.limits import Limit, check_choice
from cdk_lambda_patterns.core.options import FunctionOptions

Delivery = Literal["notifications", "eventbridge"]

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
NOTIFIED = (
    s3.EventType.OBJECT_CREATED,
    s3.EventType.OBJECT_REMOVED,
    s3.EventType.LIFECYCLE_EXPIRATION,
    s3.EventType.LIFECYCLE_TRANSITION,
    s3.EventType.OBJECT_RESTORE,
    s3.EventType.REPLICATION,
)

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
_PREFIX = Limit("S3", 0, 1_024, "bytes")

_DAY = 24 * 60 * 60
# A message stays in a failure queue for up to 14 days, and a redrive can deliver its event that late.
_TOMBSTONES = Limit("MetadataSync", 15 * _DAY, 365 * _DAY, "seconds")
# The schedule invokes the reconciler every 5 minutes.
_EVERY = Limit("MetadataSync", 300, 30 * _DAY, "seconds")


@check_types
@dataclass(frozen=True, kw_only=True)
class MetadataOptions:
    """Which objects have a row, what a row contains, and how events arrive.

    Args:
        prefix: Only objects whose key starts with this. Empty for all.
        suffixes: Only objects whose key ends with one of these; S3 compares case. Empty for all.
        delivery: ``"notifications"``: the bucket's own event notifications. ``"eventbridge"``: for a bucket
            whose notifications you cannot configure, and for several consumers of the events.
        user_metadata: Whether a row has the user-defined metadata: up to 2 KB more to write and to store.
        tags: Whether a row has the tags: one more call to S3 for each event.
        tombstones: How long the row of a deleted object is retained, 15 to 365 days, so that a late event of
            the object is recognised as late. A redrive of the failure queue can deliver one after 14 days.

    Raises:
        ValueError: A value is not allowed.

    Example::

        MetadataOptions(prefix="invoices/", suffixes=(".pdf", ".xml"), delivery="eventbridge", tags=True)
    """

    prefix: str = ""
    suffixes: Sequence[str] = ()
    delivery: Delivery = "notifications"
    user_metadata: bool = False
    tags: bool = False
    tombstones: Duration = field(default_factory=lambda: Duration.days(15))

    def __post_init__(self) -> None:
        _PREFIX.check("len(prefix)", len(self.prefix.encode()))
        check_suffixes(self.suffixes)
        check_choice("delivery", self.delivery, get_args(Delivery))
        _TOMBSTONES.check("tombstones", self.tombstones)


@check_types
@dataclass(frozen=True, kw_only=True)
class ReconcilerOptions:
    """How often bucket and table are compared.

    Args:
        every: From the start of one comparison to the start of the next, 5 minutes to 30 days.
        function_options: Settings of the reconciler's function. Its default timeout is 15 minutes, the
            longest that Lambda allows; the next invocation continues a comparison that takes longer.

    Raises:
        ValueError: A value is not allowed.

    Example::

        ReconcilerOptions(every=Duration.hours(6), function_options=FunctionOptions(memory_size=2048))
    """

    every: Duration = field(default_factory=lambda: Duration.days(1))
    function_options: FunctionOptions | None = None

    def __post_init__(self) -> None:
        _EVERY.check("every", self.every)
