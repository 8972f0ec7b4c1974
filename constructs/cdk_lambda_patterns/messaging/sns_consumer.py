"""SNS topic (standard) → Lambda; what SNS cannot deliver and what the function fails to process → two queues.

Use it when several receivers need the same message at once, each with its own filter. Do not use it when
order matters (``SnsFifoFanout``), or when bursts must be buffered (put a queue between topic and function:
``SqsConsumer``).
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsii
from aws_cdk import Annotations, RemovalPolicy, Resource, Stack, Token
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.dead_letters import allow_dead_letters, check_dead_letters
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.failure_queue import check_standard, make_failure_queue
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.permissions import warn_if_not_granted
from cdk_lambda_patterns.core.regions import check_region, differ
from cdk_lambda_patterns.core.topics import allow_service_to_publish, check_topic_key

# https://docs.aws.amazon.com/sns/latest/dg/subscription-filter-policy-constraints.html
_KEYS = Limit("SNS", 1, 5, "keys")
_COMBINATIONS = Limit("SNS", 1, 150, "combinations of values")
_LARGEST, _DIGITS = 10**9, 5  # of numbers


@check_types
class SnsConsumer(Construct):
    """A function that a standard topic invokes, with a queue for each of the two ways to fail.

    It builds the topic (unless you give one), the function, its subscription, the permission for this topic
    to invoke it, and two queues. What SNS cannot deliver, because the function or the permission is gone,
    goes to the dead-letter queue of the *subscription*. What the function failed to process in three attempts
    goes to the failure queue of the *function*, as a record with the reason.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        topic: Owned, from another stack, or imported; also one of another account, whose owner must allow
            ``sns:Subscribe``. Default: a new one.
        filter_policy: Which messages the function gets, by the names of message attributes.
        filter_policy_with_message_body: Which messages it gets, by the fields of the body, with
            ``sns.FilterOrPolicy.filter(...)``. Cannot be combined with ``filter_policy``.
        undelivered_queue: The dead-letter queue of the subscription. Default: a new one.
        asynchronous: Retries and maximum age of the events, and what else Lambda does with them.
        function_options: Settings of the function. Default: 256 MB, 30 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to queues and logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: Topic or queue is FIFO or in another Region, or a filter exceeds the limits of SNS.

    Attributes:
        topic (ITopic): The topic.
        function (HardenedFunction): The function.
        subscription (Subscription): The subscription.
        undelivered_queue (IQueue): What SNS could not deliver.
        failure_queue (IQueue): What the function failed to process.

    Example::

        news = SnsConsumer(self, "News", code="worker")
        news.grant_publish(website)
        bucket.add_event_notification(s3.EventType.OBJECT_CREATED, news.bucket_destination())

    https://docs.aws.amazon.com/lambda/latest/dg/with-sns.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        handler: str = DEFAULT_HANDLER,
        topic: sns.ITopic | None = None,
        filter_policy: Mapping[str, sns.SubscriptionFilter] | None = None,
        filter_policy_with_message_body: Mapping[str, sns.FilterOrPolicy] | None = None,
        undelivered_queue: sqs.IQueue | None = None,
        asynchronous: AsyncOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        check_standard("topic", topic, "SNS invokes functions for standard ones only")
        check_dead_letters("undelivered_queue", undelivered_queue, "SNS")
        check_region(scope, "Topic, subscription and dead-letter queue are in one Region", {"topic": topic})
        reason = "SNS requires the dead-letter queue in the account and Region of the subscription"
        check_region(scope, reason, {"undelivered_queue": undelivered_queue}, in_account=True)
        _check_filter(filter_policy, filter_policy_with_message_body)
        super().__init__(scope, id)
        if topic is not None and differ(topic.env.account, Stack.of(self).account):
            Annotations.of(self).add_warning_v2(
                "cdk-lambda-patterns:snsTopicOfAnotherAccount",
                f"{topic.node.path} is in account {topic.env.account}. Its owner must allow "
                f"{Stack.of(self).account} sns:Subscribe in the policy of the topic.",
            )

        self.topic: sns.ITopic = topic or sns.Topic(self, "Topic", enforce_ssl=True)
        self.function = HardenedFunction(
            self,
            "Function",
            code=code,
            handler=handler,
            asynchronous=asynchronous or AsyncOptions(),
            options=function_options,
            network=network,
            removal_policy=removal_policy,
        )
        assert self.function.failure_queue is not None
        self.failure_queue: sqs.IQueue = self.function.failure_queue
        self.undelivered_queue: sqs.IQueue = undelivered_queue or make_failure_queue(
            self, "UndeliveredQueue", removal_policy=removal_policy
        )
        body = filter_policy_with_message_body
        self.subscription: sns.Subscription = self.topic.add_subscription(
            subscriptions.LambdaSubscription(
                self.function,
                filter_policy=dict(filter_policy) if filter_policy else None,
                filter_policy_with_message_body=dict(body) if body else None,
                dead_letter_queue=allow_dead_letters(
                    self, self.undelivered_queue, "sns.amazonaws.com", account=self.topic.env.account
                ),
            )
        )

    def grant_publish(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a principal to publish to the topic, and to use its customer managed key, if any."""
        if self.topic.master_key is not None:
            self.topic.master_key.grant(grantee, "kms:GenerateDataKey", "kms:Decrypt")
        return warn_if_not_granted(self, self.topic.grant_publish(grantee), grantee, self.topic)

    def bucket_destination(self) -> s3.IBucketNotificationDestination:
        """Return the topic as a destination for ``bucket.add_event_notification``.

        The topic's policy lets S3 publish for this bucket only, while it belongs to this account. (The CDK's
        ``SnsDestination`` names the bucket only; if it is deleted, its name may become another account's.)
        """
        return _BucketDestination(self.topic)


@jsii.implements(s3.IBucketNotificationDestination)
class _BucketDestination:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/grant-destinations-permissions-to-s3.html."""

    def __init__(self, topic: sns.ITopic) -> None:
        self._topic = topic

    def bind(self, scope: Construct, bucket: s3.IBucket) -> s3.BucketNotificationDestinationConfig:
        """Add to the policies and return the topic's ARN. The CDK calls this."""
        self._check(bucket)
        policy = allow_service_to_publish(
            scope,
            self._topic,
            "s3.amazonaws.com",
            bucket.bucket_arn,
            owner_must_allow="s3.amazonaws.com sns:Publish for the bucket",
        )
        return s3.BucketNotificationDestinationConfig(
            arn=self._topic.topic_arn,
            type=s3.BucketNotificationDestinationType.TOPIC,
            dependencies=None if policy is None else [policy],
        )

    def _check(self, bucket: s3.IBucket) -> None:
        topic = self._topic
        check_topic_key(topic.node.path, topic, "S3")
        owned = Resource.is_owned_resource(topic) and Resource.is_owned_resource(bucket)
        if owned and Stack.of(bucket) is not Stack.of(topic):
            raise ValueError(
                f"{bucket.node.path} and {topic.node.path} are in different stacks: the bucket's stack would "
                "need the policy of the topic, which names the bucket. Make the topic in the bucket's stack, "
                "and give it to SnsConsumer(topic=...); or add the notification to "
                "Bucket.from_bucket_name(...) in the topic's stack."
            )


def _check_filter(
    attributes: Mapping[str, sns.SubscriptionFilter] | None, body: Mapping[str, sns.FilterOrPolicy] | None
) -> None:
    if attributes is not None and body is not None:
        raise ValueError(
            "filter_policy cannot be combined with filter_policy_with_message_body: a subscription has one "
            "filter; give one of them."
        )
    for name, policy in (("filter_policy", attributes), ("filter_policy_with_message_body", body)):
        if policy is not None:
            conditions = list(_conditions_of_keys(policy))
            _KEYS.check(f"{name}: number of keys", len(conditions))
            _COMBINATIONS.check(f"{name}: product of the numbers of values", math.prod(map(len, conditions)))
            for number in _numbers(conditions):
                if abs(number) > _LARGEST or round(number, _DIGITS) != number:
                    raise ValueError(
                        f"{name}: {number}: SNS compares numbers from -10^9 to 10^9, with five digits after "
                        "the decimal point; give such a number, or compare as text."
                    )


def _conditions_of_keys(
    policy: Mapping[str, sns.SubscriptionFilter | sns.FilterOrPolicy],
) -> Iterator[Sequence[Any]]:
    for value in policy.values():
        if isinstance(value, sns.Policy):
            yield from _conditions_of_keys(value.policy_doc)
        elif isinstance(value, sns.Filter):
            yield value.filter_doc.conditions
        elif isinstance(value, sns.SubscriptionFilter):
            yield value.conditions


def _numbers(condition: Any) -> Iterator[float]:
    """The numbers in conditions: ``{"numeric": [">", 1]}``."""
    if isinstance(condition, int | float) and not isinstance(condition, bool):
        if not Token.is_unresolved(condition):
            yield condition
    elif isinstance(condition, Mapping | list):
        for part in condition.values() if isinstance(condition, Mapping) else condition:
            yield from _numbers(part)
