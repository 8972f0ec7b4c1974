"""EventBridge → the function, for a bucket whose notifications you cannot configure, or several consumers.

One rule matches prefix and suffixes together. The bucket's own notifications are free, and S3 delivers them
itself.
"""

import json
from collections.abc import Mapping

from aws_cdk import Annotations, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.bucket_notifications import is_elsewhere
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.provider_roles import NOTIFICATIONS_HANDLER, write_out_provider_role
from cdk_lambda_patterns.storage.metadata_sync.options import MetadataOptions

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/EventBridge.html
_DETAIL_TYPES = (
    "Object Created",
    "Object Deleted",
    "Object Restore Initiated",
    "Object Restore Completed",
    "Object Restore Expired",
    "Object Storage Class Changed",
)
# https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutRule.html
_PATTERN, _PATTERN_BY_DEFAULT = Limit("EventBridge", 0, 4_096, "characters"), 2_048
_TAGS = ("Object Tags Added", "Object Tags Deleted")


def route(
    scope: Construct,
    bucket: s3.IBucket,
    function: lambda_.IFunction,
    options: MetadataOptions,
    failure_queue: sqs.IQueue,
) -> events.Rule:
    """Let EventBridge invoke a function with a bucket's events.

    Args:
        scope: The construct that owns the function.
        bucket: Owned, from another stack, or imported; an imported one must send its events to EventBridge.
        function: The function.
        options: Which objects, and whether tags matter.
        failure_queue: Dead-letter queue of the rule's target, for events that could not be delivered in 24
            hours.
    """
    if isinstance(bucket, s3.Bucket):
        # This is a setting of the bucket's own stack, without a reference to this one: no cycle.
        bucket.enable_event_bridge_notification()
        write_out_provider_role(Stack.of(bucket), NOTIFICATIONS_HANDLER)
    else:
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:eventbridge-of-imported-bucket",
            f"The bucket {bucket.bucket_name} is imported: its owner has to let it send its events to Amazon "
            "EventBridge (properties of the bucket, or EventBridgeConfiguration in "
            "PutBucketNotificationConfiguration). Until then only the reconciler updates the rows.",
        )
    # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-cross-region.html
    if where := is_elsewhere(scope, bucket):
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:eventbridge-of-bucket-elsewhere",
            f"The bucket {bucket.node.path} is {where}: a rule there has to forward its events to "
            "the default event bus here. Until then only the reconciler updates the rows.",
        )
    kinds, keys = [*_DETAIL_TYPES, *(_TAGS if options.tags else ())], _key_pattern(options)
    detail = {"bucket": {"name": [bucket.bucket_name]}, **keys}
    _check_size(scope, {"source": ["aws.s3"], "detail-type": kinds, "detail": detail})
    rule = events.Rule(
        scope,
        "Rule",
        description="Events of a bucket whose objects have rows of metadata",
        event_pattern=events.EventPattern(source=["aws.s3"], detail_type=kinds, detail=detail),
    )
    rule.add_target(targets.LambdaFunction(function, dead_letter_queue=failure_queue))
    if not isinstance(failure_queue, sqs.Queue):
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:eventbridge-to-imported-queue",
            f"The queue {failure_queue.queue_name} is imported: its policy has to let events.amazonaws.com "
            f"send messages for the rule {rule.node.path}; otherwise only the reconciler makes up for events "
            "that cannot be delivered.",
        )
    if failure_queue.encryption_master_key is not None:
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-rule-dlq.html
        # The rule's ARN as a condition would be a cycle: rule, queue, key.
        account = {"StringEquals": {"aws:SourceAccount": Stack.of(scope).account}}
        failure_queue.encryption_master_key.grant(
            iam.ServicePrincipal("events.amazonaws.com", conditions=account),
            "kms:Decrypt",
            "kms:GenerateDataKey",
        )
    return rule


def _check_size(scope: Construct, pattern: Mapping[str, object]) -> None:
    """Check the size of a pattern; what is known only at deployment counts as long as its token.

    https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html
    """
    size = len(json.dumps(pattern, separators=(",", ":"), ensure_ascii=False))
    _PATTERN.check("size of the event pattern for prefix and suffixes", size)
    if size > _PATTERN_BY_DEFAULT:
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:eventPatternSize",
            f"The event pattern for prefix and suffixes has {size:,} characters, and EventBridge allows "
            f"{_PATTERN_BY_DEFAULT:,} by default. Use fewer suffixes, or request a quota of up to 4,096.",
        )


def _key_pattern(options: MetadataOptions) -> dict[str, object]:
    """Return the part of an event pattern about keys; nothing if all keys match."""
    prefix, suffixes = options.prefix, options.suffixes
    if not prefix and not suffixes:
        return {}
    if not suffixes:
        return {"object": {"key": [{"prefix": prefix}]}}
    if not prefix:
        return {"object": {"key": [{"suffix": suffix} for suffix in suffixes]}}
    # A pattern can match prefix and suffix of one key only with a wildcard, around which the two cannot
    # overlap. Keys that start with the one, end with the other and are shorter than both together are listed.
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
