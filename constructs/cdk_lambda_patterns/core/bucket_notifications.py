"""S3 event notifications to a function, for buckets that are owned, of another stack, or imported."""

from aws_cdk import Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as notifications
from constructs import Construct

from cdk_lambda_patterns.core.provider_roles import NOTIFICATIONS_HANDLER, write_out_provider_role


def notify_function(
    scope: Construct,
    bucket: s3.IBucket,
    function: lambda_.IFunction,
    *events: s3.EventType,
    prefix: str = "",
    suffixes: tuple[str, ...] = (),
) -> None:
    """Let a bucket invoke a function when something happens to its objects.

    A bucket of another stack is reached by its name: its own notifications would need the function's ARN
    while the function's role needs the bucket's, and two stacks cannot wait for each other.

    Args:
        scope: The construct that owns the function.
        bucket: Owned, of another stack, or imported.
        function: What is invoked, asynchronously.
        *events: Which events.
        prefix: What the keys start with; empty for all.
        suffixes: What the keys end with, any of them; empty for all. S3 compares letter case too.
    """
    if Stack.of(bucket) is not Stack.of(scope):
        bucket = s3.Bucket.from_bucket_name(scope, "SourceByName", bucket.bucket_name)
    destination = notifications.LambdaDestination(function)
    for event in events:
        for suffix in suffixes or (None,):
            if prefix or suffix:
                key_filter = s3.NotificationKeyFilter(prefix=prefix or None, suffix=suffix)
                bucket.add_event_notification(event, destination, key_filter)
            else:
                bucket.add_event_notification(event, destination)
    write_out_provider_role(Stack.of(scope), NOTIFICATIONS_HANDLER)


def check_suffixes(suffixes: tuple[str, ...]) -> None:
    """Check that S3 would accept these suffixes side by side.

    Raises:
        ValueError: A suffix is empty, or ends with another one: S3 refuses overlapping filters.
    """
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
    for suffix in suffixes:
        others = [other for other in suffixes if other is not suffix and suffix.endswith(other)]
        if not suffix or others:
            raise ValueError(
                f"suffixes={suffixes!r}: S3 refuses filters that overlap, and {suffix!r} ends with "
                f"{(others or [''])[0]!r}; leave one of them out."
            )
