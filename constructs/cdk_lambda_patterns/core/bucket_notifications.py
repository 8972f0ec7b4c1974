"""S3 event notification → function, for buckets that are owned, from another stack, or imported."""

from collections.abc import Sequence

from aws_cdk import Stack
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as notifications
from constructs import Construct

from cdk_lambda_patterns.core.limits import check_strings
from cdk_lambda_patterns.core.provider_roles import NOTIFICATIONS_HANDLER, write_out_provider_role


def notify_function(
    scope: Construct,
    bucket: s3.IBucket,
    function: lambda_.IFunction,
    *events: s3.EventType,
    prefix: str = "",
    suffixes: Sequence[str] = (),
) -> None:
    """Let a bucket invoke a function asynchronously when its objects change.

    A bucket from another stack is referenced by its name: its own notifications would need the function's
    ARN while the function's role needs the bucket's, and two stacks cannot depend on each other.

    Args:
        scope: The construct that owns the function.
        bucket: Owned, from another stack, or imported.
        function: The function.
        *events: Which events.
        prefix: Only objects whose key starts with this; empty for all.
        suffixes: Only objects whose key ends with one of these; empty for all. S3 compares case.
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


def check_suffixes(suffixes: Sequence[str]) -> None:
    """Check that S3 accepts notifications with each of these suffixes.

    Raises:
        ValueError: It is a single string, a suffix is empty, or one ends with another.
    """
    check_strings("suffixes", suffixes)
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
    for number, suffix in enumerate(suffixes):
        others = [*suffixes[:number], *suffixes[number + 1 :]]
        contained = "" if not suffix else next((other for other in others if suffix.endswith(other)), None)
        if contained is not None:
            raise ValueError(
                f"suffixes={tuple(suffixes)!r}: S3 refuses filters that overlap, and {suffix!r} ends with "
                f"{contained!r}; leave one of them out."
            )
