"""(Kinesis stream → Lambda →) SNS FIFO topic → an SQS FIFO queue for each subscriber → Lambda each.

Use it when several services need the same events, each in order within a group, each at its own pace and with
its own failures: event sourcing, replicas, read models. Do not use it when one reader is enough (a FIFO queue
alone), when order does not matter (a standard topic), or for thousands of events a second in one group.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from aws_cdk import RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import check_range
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer, SqsConsumerOptions
from cdk_lambda_patterns.streams.kinesis_consumer import KinesisConsumer

# https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-topic-owner.html
_ARCHIVE_DAYS = (1, 365)
# https://docs.aws.amazon.com/general/latest/gr/sns.html#limits_sns (subscriptions of a FIFO topic)
_SUBSCRIBERS = (1, 100)


@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """One reader of the events: what it wants of them, and what it does with them.

    Args:
        code: The handler's folder, or any ``lambda_.Code``.
        handler: ``module.function`` in it.
        filter_policy: Which events it gets, by the names of message attributes:
            ``sns.SubscriptionFilter.string_filter(allowlist=["OrderPaid"])``. Default: all.
        filter_policy_on_body: The same, by the fields of the body: ``sns.FilterOrPolicy.filter(...)``.
        queue: A FIFO queue that is there already. Default: a new one.
        options: How its queue is read and set up.
        function_options: Settings of its function.

    Raises:
        ValueError: Both filters are given: SNS takes one.
    """

    code: str | os.PathLike[str] | lambda_.Code
    handler: str = "handler.handler"
    filter_policy: Mapping[str, sns.SubscriptionFilter] | None = None
    filter_policy_on_body: Mapping[str, sns.FilterOrPolicy] | None = None
    queue: sqs.IQueue | None = None
    options: SqsConsumerOptions = field(default_factory=SqsConsumerOptions)
    function_options: FunctionOptions | None = None

    def __post_init__(self) -> None:
        if self.filter_policy is not None and self.filter_policy_on_body is not None:
            raise ValueError(
                "filter_policy beside filter_policy_on_body: a subscription filters by attributes or by the "
                "body; put everything into one of them."
            )


@dataclass(frozen=True, kw_only=True)
class SnsFifoFanoutOptions:
    """How the new topic is set up.

    Args:
        content_based_deduplication: Whether the body's hash stands in for a missing deduplication id.
        high_throughput: Whether throughput and deduplication are counted per message group and not for the
            whole topic. Set ``high_throughput`` of the subscribers' options as well.
        archive_days: How long the topic keeps its messages for replays, 1 to 365 days. Default: not at all.
        encryption_key: Customer key of the topic. Default: the key that SNS manages.

    Raises:
        ValueError: A value is outside of what SNS allows.

    Example::

        SnsFifoFanoutOptions(high_throughput=True, archive_days=30)
    """

    content_based_deduplication: bool = False
    high_throughput: bool = False
    archive_days: int | None = None
    encryption_key: kms.IKey | None = None

    def __post_init__(self) -> None:
        check_range("archive_days", self.archive_days, *_ARCHIVE_DAYS, unit="days", allows="SNS allows")


class SnsFifoFanout(Construct):
    """A FIFO topic, and for each subscriber a FIFO queue, a function, and places for what fails.

    Events of one message group reach each subscriber in the order in which they were published; an event
    that is published again within five minutes under the same deduplication id is not delivered again. A
    subscriber that fails keeps back its own groups in its own queue, and nobody else. With ``source`` a
    function publishes the records of a stream in order, deduplicated by their sequence numbers.

    The body of a record in the stream is a JSON object; its partition key becomes the message group, and its
    field ``type``, if it is a text, a message attribute to filter by.

    Args:
        subscribers: By their names, which become part of the ids of what is made for them.
        topic: A FIFO topic that is there already. Default: a new one.
        source: A stream whose records are published. Default: whoever ``grant_publish`` admits publishes.
        options: How the new topic is set up.
        removal_policy: What happens to queues and logs when the stack is deleted. Default: they stay.

    Raises:
        ValueError: A value is not allowed, or a topic or queue is not a FIFO one.

    Attributes:
        topic (ITopic): The topic.
        consumers (Mapping[str, SqsConsumer]): The queue, the dead-letter queue and the function of each.
        undelivered_queues (Mapping[str, IQueue]): What SNS could not deliver to the queue of each.
        bridge (KinesisConsumer | None): What publishes the records of ``source``.

    Example::

        fanout = SnsFifoFanout(self, "Events", subscribers={"Mails": Subscriber(code="worker")})
        fanout.grant_publish(website)

    https://docs.aws.amazon.com/sns/latest/dg/sns-fifo-topics.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        subscribers: Mapping[str, Subscriber],
        topic: sns.ITopic | None = None,
        source: kinesis.IStream | None = None,
        options: SnsFifoFanoutOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        check_range("len(subscribers)", len(subscribers), *_SUBSCRIBERS, unit="", allows="SNS allows")
        _check_topic(topic, options)
        _check_queues(subscribers)
        super().__init__(scope, id)
        self._removal_policy = removal_policy

        self.topic = topic or self._make_topic(options or SnsFifoFanoutOptions())
        self.bridge = self._make_bridge(source) if source is not None else None
        self.consumers: Mapping[str, SqsConsumer] = {
            name: self._make_consumer(name, subscriber) for name, subscriber in subscribers.items()
        }
        self.undelivered_queues: Mapping[str, sqs.IQueue] = {
            name: self._subscribe(name, subscriber) for name, subscriber in subscribers.items()
        }

    def grant_publish(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let somebody publish to the topic, encrypted with a customer key or not."""
        if self.topic.master_key is not None:
            self.topic.master_key.grant(grantee, "kms:GenerateDataKey", "kms:Decrypt")
        return iam.Grant.add_to_principal(
            grantee=grantee, actions=["sns:Publish"], resource_arns=[self.topic.topic_arn]
        )

    def _make_topic(self, options: SnsFifoFanoutOptions) -> sns.Topic:
        topic = sns.Topic(
            self,
            "Topic",
            fifo=True,
            content_based_deduplication=options.content_based_deduplication,
            fifo_throughput_scope=sns.FifoThroughputScope.MESSAGE_GROUP
            if options.high_throughput
            else sns.FifoThroughputScope.TOPIC,
            message_retention_period_in_days=options.archive_days,
            master_key=options.encryption_key,
            enforce_ssl=True,
        )
        resource = topic.node.default_child
        assert isinstance(resource, sns.CfnTopic)
        # The CDK names FIFO topics after their path, so that an account could hold the stack only once.
        resource.topic_name = None
        if options.encryption_key is None:
            resource.kms_master_key_id = "alias/aws/sns"
        return topic

    def _make_bridge(self, source: kinesis.IStream) -> KinesisConsumer:
        bridge = KinesisConsumer(
            self,
            "Bridge",
            code=pattern_source("messaging", "sns_fifo_fanout"),
            stream=source,
            function_options=FunctionOptions(
                environment={
                    "TOPIC_ARN": self.topic.topic_arn,
                    "POWERTOOLS_SERVICE_NAME": "sns-fifo-fanout",
                }
            ),
            removal_policy=self._removal_policy,
        )
        self.grant_publish(bridge.function)
        return bridge

    def _make_consumer(self, name: str, subscriber: Subscriber) -> SqsConsumer:
        return SqsConsumer(
            self,
            name,
            code=subscriber.code,
            handler=subscriber.handler,
            queue=subscriber.queue,
            fifo=subscriber.queue is None,
            options=subscriber.options,
            function_options=subscriber.function_options,
            removal_policy=self._removal_policy,
        )

    def _subscribe(self, name: str, subscriber: Subscriber) -> sqs.Queue:
        """Subscribe the queue; it, and the queue for what cannot be delivered, admit this topic alone."""
        consumer = self.consumers[name]
        undelivered = make_failure_queue(
            consumer,
            "UndeliveredQueue",
            fifo=True,
            encryption_key=subscriber.options.encryption_key,
            removal_policy=self._removal_policy,
        )
        subscription = subscriptions.SqsSubscription(
            consumer.queue,
            raw_message_delivery=True,
            filter_policy=dict(subscriber.filter_policy) if subscriber.filter_policy else None,
            filter_policy_with_message_body=dict(subscriber.filter_policy_on_body)
            if subscriber.filter_policy_on_body
            else None,
            dead_letter_queue=undelivered,
        )
        self.topic.add_subscription(subscription)
        if subscriber.options.encryption_key is not None:
            self._let_sns_use(subscriber.options.encryption_key)
        return undelivered

    def _let_sns_use(self, key: kms.IKey) -> None:
        """Let SNS use the key of its queues for this topic: for dead letters the CDK does not see to it."""
        key.add_to_resource_policy(
            iam.PolicyStatement(
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                principals=[iam.ServicePrincipal("sns.amazonaws.com")],
                resources=["*"],
                conditions={"ArnEquals": {"aws:SourceArn": self.topic.topic_arn}},
            )
        )


def _check_topic(topic: sns.ITopic | None, options: SnsFifoFanoutOptions | None) -> None:
    if topic is None:
        return
    if options is not None:
        raise ValueError("options beside topic: they set up a new topic; set them on the topic itself.")
    if not topic.fifo:
        raise ValueError(
            f"topic={topic.node.path}: it is a standard topic, which keeps no order; give a FIFO topic."
        )


def _check_queues(subscribers: Mapping[str, Subscriber]) -> None:
    for name, subscriber in subscribers.items():
        if subscriber.queue is not None and not subscriber.queue.fifo:
            raise ValueError(
                f"queue of subscriber {name!r}: it is a standard queue, and would lose the order of the "
                "topic; give a FIFO queue, or leave it out."
            )
