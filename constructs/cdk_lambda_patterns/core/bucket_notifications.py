"""S3 event notification → function, for buckets that are owned, from another stack, or imported."""

from collections.abc import Sequence
from urllib.parse import quote

from aws_cdk import Stack, Token
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_s3_notifications as notifications
from constructs import Construct

from cdk_lambda_patterns.core.limits import check_strings
from cdk_lambda_patterns.core.provider_roles import NOTIFICATIONS_HANDLER, write_out_provider_role

# https://docs.aws.amazon.com/AmazonS3/latest/API/API_FilterRule.html
_MAX_CHARACTERS = 1024


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
        prefix: Only objects whose key starts with this, written as in the key; empty for all.
        suffixes: Only objects whose key ends with one of these; empty for all. S3 compares case.

    Raises:
        ValueError: S3 has no filter for the prefix or a suffix.
    """
    prefix = filter_value("prefix", prefix)
    suffixes = [filter_value("suffixes", suffix) for suffix in suffixes]
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


def filter_value(name: str, text: str) -> str:
    """The start or end of a key as filters of S3 have it: encoded, unlike in patterns of EventBridge.

    A filter that is not encoded never matches: `my photos/` must be `my+photos/`, `dt=2026/` must be
    `dt%3D2026/`.

    https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
    https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html#object-key-guidelines-safe-characters

    Args:
        name: The argument, for the message.
        text: The text, as in the key.

    Raises:
        ValueError: It contains `*`, which is no wildcard, or cannot be part of a key, or is too long.
    """
    if Token.is_unresolved(text):
        return text  # known only at the deployment
    if "*" in text:
        raise ValueError(
            f"{name}: {text!r} contains *, which is no wildcard in filters of S3; give the plain start or "
            "end of the keys."
        )
    try:
        encoded = quote(text, safe="/!-_.'() ").replace(" ", "+").replace("~", "%7E")
    except UnicodeEncodeError:
        raise ValueError(f"{name}: {text!r} is no text that a key can contain; use valid Unicode.") from None
    if len(encoded) > _MAX_CHARACTERS:
        raise ValueError(
            f"{name}: {text[:40]!r}… has {len(encoded)} characters in the form that S3 compares; "
            f"at most {_MAX_CHARACTERS} are allowed."
        )
    return encoded


def check_suffixes(suffixes: Sequence[str]) -> None:
    """Check that S3 accepts notifications with each of these suffixes.

    Raises:
        ValueError: It is a single string, a suffix is empty or has no filter, or one ends with another.
    """
    check_strings("suffixes", suffixes)
    encoded = [filter_value("suffixes", suffix) for suffix in suffixes]
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
    for number, suffix in enumerate(suffixes):
        others = [one for one in range(len(suffixes)) if one != number]
        ending = (suffixes[one] for one in others if encoded[number].endswith(encoded[one]))
        contained = next(ending, None) if suffix else ""
        if contained is not None:
            raise ValueError(
                f"suffixes={tuple(suffixes)!r}: S3 refuses filters that overlap, and {suffix!r} ends with "
                f"{contained!r}; leave one of them out."
            )
