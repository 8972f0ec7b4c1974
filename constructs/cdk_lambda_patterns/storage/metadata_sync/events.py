"""How a bucket's events reach the function: its own notifications, or EventBridge.

Notifications are delivered by the bucket itself and cost nothing. EventBridge is for a bucket whose
notifications are not yours to set, and for several consumers; its rule matches prefix and suffix together.
"""

from aws_cdk import Annotations, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.bucket_notifications import notify_function
from cdk_lambda_patterns.core.provider_roles import NOTIFICATIONS_HANDLER, write_out_provider_role

NOTIFICATIONS, EVENTBRIDGE = "notifications", "eventbridge"

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-event-types-and-destinations.html
_NOTIFIED = (
    s3.EventType.OBJECT_CREATED,
    s3.EventType.OBJECT_REMOVED,
    s3.EventType.LIFECYCLE_EXPIRATION,
    s3.EventType.LIFECYCLE_TRANSITION,
    s3.EventType.OBJECT_RESTORE,
    s3.EventType.REPLICATION,
)
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html
_DETAIL_TYPES = (
    "Object Created",
    "Object Deleted",
    "Object Restore Initiated",
    "Object Restore Completed",
    "Object Restore Expired",
    "Object Storage Class Changed",
)
_TAGS = ("Object Tags Added", "Object Tags Deleted")

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-how-to-filtering.html
_MOST_NOTIFICATIONS = 100


def check_delivery(delivery: str, suffixes: tuple[str, ...], *, tags: bool) -> None:
    """Check that a bucket has room for the notifications.

    Raises:
        ValueError: There are too many.
    """
    needed = len(suffixes) * (len(_NOTIFIED) + tags)
    if delivery == NOTIFICATIONS and needed > _MOST_NOTIFICATIONS:
        raise ValueError(
            f"len(suffixes)={len(suffixes)}: with each kind of event that makes {needed} notifications, and "
            f"S3 allows {_MOST_NOTIFICATIONS} for a bucket; choose delivery='eventbridge', whose one rule "
            "takes them all."
        )


def notify(
    scope: Construct,
    bucket: s3.IBucket,
    function: lambda_.IFunction,
    *,
    prefix: str,
    suffixes: tuple[str, ...],
    tags: bool,
) -> None:
    """Let a bucket's own notifications invoke a function.

    Args:
        scope: The construct that owns the function.
        bucket: Owned, of another stack, or imported.
        function: What is invoked.
        prefix: What the keys start with.
        suffixes: What the keys end with, any of them; empty for all.
        tags: Whether tags that change are told, too.
    """
    kinds = (*_NOTIFIED, s3.EventType.OBJECT_TAGGING) if tags else _NOTIFIED
    notify_function(scope, bucket, function, *kinds, prefix=prefix, suffixes=suffixes)


def route(
    scope: Construct,
    bucket: s3.IBucket,
    function: lambda_.IFunction,
    *,
    prefix: str,
    suffixes: tuple[str, ...],
    tags: bool,
    failure_queue: sqs.IQueue,
) -> events.Rule:
    """Let EventBridge invoke a function with a bucket's events, and keep those that it cannot hand over.

    Args:
        scope: The construct that owns the function.
        bucket: Owned, of another stack, or imported; an imported one must send its events to EventBridge.
        function: What is invoked.
        prefix: What the keys start with.
        suffixes: What the keys end with, any of them; empty for all.
        tags: Whether tags that change are told, too.
        failure_queue: For events that could not be handed over for a day.
    """
    if isinstance(bucket, s3.Bucket):
        # In the bucket's own stack, without any reference to this one: no circle between the two.
        bucket.enable_event_bridge_notification()
        write_out_provider_role(Stack.of(bucket), NOTIFICATIONS_HANDLER)
    else:
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:eventbridge-of-imported-bucket",
            f"The bucket {bucket.bucket_name} is imported: whoever owns it has to let it send its events to "
            "Amazon EventBridge (properties of the bucket, or EventBridgeConfiguration in "
            "PutBucketNotificationConfiguration). Until then only the reconciler keeps the metadata true.",
        )
    rule = events.Rule(
        scope,
        "Rule",
        description="Tells the metadata of a bucket what happens to its objects",
        event_pattern=events.EventPattern(
            source=["aws.s3"],
            detail_type=[*_DETAIL_TYPES, *(_TAGS if tags else ())],
            detail={"bucket": {"name": [bucket.bucket_name]}, **_keys(prefix, suffixes)},
        ),
    )
    rule.add_target(targets.LambdaFunction(function, dead_letter_queue=failure_queue))
    if not isinstance(failure_queue, sqs.Queue):
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:eventbridge-to-imported-queue",
            f"The queue {failure_queue.queue_name} is imported: its policy has to let events.amazonaws.com "
            f"send messages for the rule {rule.node.path}, or events that cannot be handed over are lost "
            "until the reconciler runs.",
        )
    if failure_queue.encryption_master_key is not None:
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
        failure_queue.encryption_master_key.grant(
            iam.ServicePrincipal("events.amazonaws.com"), "kms:Decrypt", "kms:GenerateDataKey"
        )
    return rule


def _keys(prefix: str, suffixes: tuple[str, ...]) -> dict[str, object]:
    """The part of a pattern about keys; nothing where all keys match."""
    if not prefix and not suffixes:
        return {}
    if not suffixes:
        return {"object": {"key": [{"prefix": prefix}]}}
    if not prefix:
        return {"object": {"key": [{"suffix": suffix} for suffix in suffixes]}}
    # One key cannot be asked for both in a pattern but with a wildcard, which lets the two not overlap;
    # what starts with the one and ends with the other and is shorter than both together is spelt out.
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
    wildcards = [{"wildcard": f"{_literal(prefix)}*{_literal(suffix)}"} for suffix in suffixes]
    short = [
        prefix + suffix[shared:]
        for suffix in suffixes
        for shared in range(1, min(len(prefix), len(suffix)) + 1)
        if prefix.endswith(suffix[:shared])
    ]
    return {"object": {"key": [*wildcards, *dict.fromkeys(short)]}}


def _literal(text: str) -> str:
    return text.replace("\\", "\\\\").replace("*", "\\*")
