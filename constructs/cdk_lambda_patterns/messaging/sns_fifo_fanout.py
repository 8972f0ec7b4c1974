"""(Kinesis stream → Lambda →) SNS FIFO topic → one SQS FIFO queue per subscriber → one Lambda each.

Use it when several services need the same events in order within a group, and each must process them at its
own pace and fail independently of the others: event sourcing, replicas, read models. Do not use it when there
is only one subscriber (use a FIFO queue), when order does not matter (use a standard topic), or for thousands
of events a second in one group.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

import jsii
from aws_cdk import Annotations, Names, RemovalPolicy, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kinesis as kinesis
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IDependable

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.event_sources import Code, check_function, refuse_settings
from cdk_lambda_patterns.core.failure_queue import make_failure_queue
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER
from cdk_lambda_patterns.core.handler_code import pattern_source
from cdk_lambda_patterns.core.limits import Limit
from cdk_lambda_patterns.core.options import FunctionOptions
from cdk_lambda_patterns.core.permissions import warn_if_not_granted
from cdk_lambda_patterns.core.regions import OWN_KEYS, check_region
from cdk_lambda_patterns.messaging.sqs_consumer import SqsConsumer, SqsConsumerOptions
from cdk_lambda_patterns.streams.kinesis_consumer import KinesisConsumer, KinesisConsumerOptions

# https://docs.aws.amazon.com/sns/latest/dg/message-archiving-and-replay-topic-owner.html
_RETENTION_DAYS = Limit("SNS", 1, 365, "days", whole=True)
# https://docs.aws.amazon.com/general/latest/gr/sns.html#limits_sns (subscriptions of a FIFO topic)
_SUBSCRIBERS = Limit("SNS", 1, 100)
# https://docs.aws.amazon.com/sns/latest/dg/large-message-payloads.html
_MESSAGE_SIZE = Limit("SNS", 1024, 1_048_576, "bytes", whole=True)
_DEFAULT_MESSAGE_SIZE = 262_144


@check_types
@dataclass(frozen=True, kw_only=True)
class Subscriber:
    """A service that gets the events: which ones, and the function that processes them.

    Args:
        code: The folder of a new function's handler, or any ``lambda_.Code``.
        handler: ``module.function`` in that folder.
        function: An existing function instead, or a version or alias of it, such as ``CanaryAlias.alias``.
        filter_policy: Which events it gets, by the names of message attributes:
            ``{"type": sns.SubscriptionFilter.string_filter(allowlist=["OrderPaid"])}``. Default: all.
        filter_policy_with_message_body: Which events it gets, by the fields of the body, with
            ``sns.FilterOrPolicy.filter(...)``. Cannot be combined with ``filter_policy``.
        queue: Your own FIFO queue. Default: a new one.
        options: How Lambda reads the queue, and how a new queue is configured.
        function_options: Settings of a new function.

    Raises:
        ValueError: Both filters are given (a subscription has only one), or both ``code`` and ``function``,
            or neither.
    """

    code: Code | None = None
    handler: str = DEFAULT_HANDLER
    function: lambda_.IFunction | None = None
    filter_policy: Mapping[str, sns.SubscriptionFilter] | None = None
    filter_policy_with_message_body: Mapping[str, sns.FilterOrPolicy] | None = None
    queue: sqs.IQueue | None = None
    options: SqsConsumerOptions = field(default_factory=SqsConsumerOptions)
    function_options: FunctionOptions | None = None

    def __post_init__(self) -> None:
        check_function(self.function, self.code, self.handler, self.function_options, None)
        if self.filter_policy is not None and self.filter_policy_with_message_body is not None:
            raise ValueError(
                "filter_policy cannot be combined with filter_policy_with_message_body: a subscription "
                "filters by attributes or by the body; use one of them."
            )


@check_types
@dataclass(frozen=True, kw_only=True)
class SnsFifoFanoutOptions:
    """How the new topic is configured.

    Args:
        content_based_deduplication: Whether SNS uses the hash of the body where a message has no
            deduplication id.
        high_throughput: Whether throughput and deduplication apply per message group instead of to the whole
            topic. Set ``high_throughput`` in the subscribers' options as well.
        message_retention_period_in_days: How long the topic archives its messages for replays, 1 to 365
            days. Default: no archive. SNS deletes no topic that has an archive, so the topic gets the
            ``removal_policy`` of the construct: by default it is retained when the stack is deleted.
        maximum_message_size: How large a message may be, and a batch of them, with the attributes: 1,024 to
            1,048,576 bytes. Default: 262,144, the default of SNS.
        encryption_key: Customer managed key of the topic. Default: the AWS managed key of SNS.

    Raises:
        ValueError: A value is outside what SNS allows.

    Example::

        SnsFifoFanoutOptions(high_throughput=True, message_retention_period_in_days=30)
    """

    content_based_deduplication: bool = False
    high_throughput: bool = False
    message_retention_period_in_days: int | None = None
    maximum_message_size: int | None = None
    encryption_key: kms.IKey | None = None

    def __post_init__(self) -> None:
        _RETENTION_DAYS.check("message_retention_period_in_days", self.message_retention_period_in_days)
        _MESSAGE_SIZE.check("maximum_message_size", self.maximum_message_size)


@check_types
class SnsFifoFanout(Construct):
    """A FIFO topic, and for each subscriber a FIFO queue, a function, and queues for messages that failed.

    Each subscriber gets the events of a message group in the order in which they were published. SNS does not
    deliver an event that is published again within five minutes with the same deduplication id. A subscriber
    that fails blocks the failed group in its own queue, and affects no other group or subscriber. With
    ``source``, a function publishes the records of a stream in order, and none twice within five minutes.

    The data of a record in the stream is a JSON object. Its partition key becomes the message group, or the
    hash of the key does, if SNS does not allow the key. Its field ``type``, if it is a string, becomes a
    message attribute for filters. A record that SNS refuses goes to the ``failure_destination`` of the
    bridge, with its data.

    Args:
        subscribers: By name; the names become part of the logical ids.
        topic: Your own FIFO topic. Default: a new one.
        source: A stream whose records are published. Default: principals that you pass to ``grant_publish``
            publish to the topic.
        options: How the new topic is configured.
        removal_policy: What happens to queues and logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: A value is not allowed, or a topic or queue is not a FIFO one.

    Attributes:
        topic (ITopic): The topic.
        bridge (KinesisConsumer | None): The function that publishes the records of ``source``.
        consumers (Mapping[str, SqsConsumer]): By subscriber: its queue, dead-letter queue and function.
        undelivered_queues (Mapping[str, IQueue]): By subscriber: what SNS could not deliver to its queue.

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
        _SUBSCRIBERS.check("len(subscribers)", len(subscribers))
        for name in subscribers:
            if name in ("", "Topic", "Bridge"):
                raise ValueError(
                    f"subscribers[{name!r}]: a name must not be empty, and the fan-out itself has a Topic "
                    "and a Bridge; choose another name."
                )
        _check_topic(topic, options)
        _check_queues(subscribers)
        # https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html
        reason = "The dead-letter queue of a subscription must be in the Region of the topic"
        check_region(scope, reason, {"topic": topic})
        if options is not None:
            check_region(scope, OWN_KEYS, {"options.encryption_key": options.encryption_key})
        super().__init__(scope, id)

        self.topic = topic or self._make_topic(options or SnsFifoFanoutOptions(), removal_policy)
        self.bridge = self._make_bridge(source, removal_policy) if source is not None else None
        self.consumers: Mapping[str, SqsConsumer] = {
            name: self._make_consumer(name, subscriber, removal_policy)
            for name, subscriber in subscribers.items()
        }
        self.undelivered_queues: Mapping[str, sqs.IQueue] = {
            name: self._subscribe(self.consumers[name], subscriber, removal_policy)
            for name, subscriber in subscribers.items()
        }

    def grant_publish(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a principal to publish to the topic, and to use its customer managed key, if any.

        The policies of topic and key get a statement for a service, an account or a principal of another
        account. Give a service its condition:
        ``iam.ServicePrincipal("s3.amazonaws.com", conditions={"ArnLike": {"aws:SourceArn": ...}})``.
        """
        key = self.topic.master_key
        if key is not None:
            use = key.grant(grantee, "kms:GenerateDataKey", "kms:Decrypt")
            warn_if_not_granted(self, use, grantee, key)
        publish = iam.Grant.add_to_principal_or_resource(
            grantee=grantee,
            actions=["sns:Publish"],
            resource_arns=[self.topic.topic_arn],
            resource=self.topic,
        )
        return warn_if_not_granted(self, publish, grantee, self.topic)

    def _make_topic(self, options: SnsFifoFanoutOptions, removal_policy: RemovalPolicy) -> sns.Topic:
        topic = sns.Topic(
            self,
            "Topic",
            fifo=True,
            content_based_deduplication=options.content_based_deduplication,
            fifo_throughput_scope=sns.FifoThroughputScope.MESSAGE_GROUP
            if options.high_throughput
            else sns.FifoThroughputScope.TOPIC,
            message_retention_period_in_days=options.message_retention_period_in_days,
            master_key=options.encryption_key,
            enforce_ssl=True,
        )
        resource = topic.node.default_child
        assert isinstance(resource, sns.CfnTopic)
        # The CDK names a FIFO topic after its path, so an account could contain the stack only once.
        resource.topic_name = None
        resource.maximum_message_size = options.maximum_message_size
        if topic.master_key is None:
            resource.kms_master_key_id = "alias/aws/sns"
        if options.message_retention_period_in_days is not None:
            topic.apply_removal_policy(removal_policy)
            if removal_policy is RemovalPolicy.DESTROY:
                Annotations.of(self).add_warning_v2(
                    "cdk-lambda-patterns:snsArchive",
                    "SNS deletes no topic that has an archive, so deleting the stack will fail. Delete the "
                    "archive first: aws sns set-topic-attributes --topic-arn ARN --attribute-name "
                    "ArchivePolicy --attribute-value '{}'",
                )
        return topic

    def _make_bridge(self, source: kinesis.IStream, removal_policy: RemovalPolicy) -> KinesisConsumer:
        bridge = KinesisConsumer(
            self,
            "Bridge",
            code=pattern_source("messaging", "sns_fifo_fanout"),
            handler="sns_fifo_fanout.handler.handler",
            stream=source,
            # What can never be published goes to the failure queue at once. What remains can succeed later,
            # and until then, later events must not overtake it. But a record must not block its shard until
            # those behind it expire.
            options=KinesisConsumerOptions(retry_attempts=100),
            function_options=FunctionOptions(
                environment={
                    "TOPIC_ARN": self.topic.topic_arn,
                    "MAXIMUM_MESSAGE_SIZE": str(_maximum_message_size(self.topic)),
                    "POWERTOOLS_SERVICE_NAME": "sns-fifo-fanout",
                }
            ),
            removal_policy=removal_policy,
        )
        queue = cast(sqs.Queue, bridge.failure_destination)
        cast(lambda_.Function, bridge.function).add_environment("FAILURE_QUEUE_URL", queue.queue_url)
        self.grant_publish(bridge.function)
        return bridge

    def _make_consumer(self, name: str, subscriber: Subscriber, removal_policy: RemovalPolicy) -> SqsConsumer:
        return SqsConsumer(
            self,
            name,
            code=subscriber.code,
            handler=subscriber.handler,
            function=subscriber.function,
            queue=subscriber.queue,
            fifo=subscriber.queue is None,
            options=subscriber.options,
            function_options=subscriber.function_options,
            removal_policy=removal_policy,
        )

    def _subscribe(
        self, consumer: SqsConsumer, subscriber: Subscriber, removal_policy: RemovalPolicy
    ) -> sqs.Queue:
        """Subscribe the queue to the topic; return the queue for messages that SNS cannot deliver to it.

        Only this topic may send to the two queues.
        """
        undelivered = make_failure_queue(
            consumer,
            "UndeliveredQueue",
            fifo=True,
            encryption_key=subscriber.options.encryption_key,
            removal_policy=removal_policy,
        )
        self.topic.add_subscription(_Subscription(consumer.queue, undelivered, subscriber))
        return undelivered


@jsii.implements(sns.ITopicSubscription)
class _Subscription:
    """Subscribes a queue, and lets only the topic send to it.

    ``aws_sns_subscriptions.SqsSubscription`` lets every topic use the key of the queue, unless the app sets a
    feature flag, and does not let SNS use that of the dead-letter queue.
    """

    def __init__(self, queue: sqs.IQueue, undelivered: sqs.IQueue, subscriber: Subscriber) -> None:
        self._queue, self._undelivered, self._subscriber = queue, undelivered, subscriber

    def bind(self, topic: sns.ITopic) -> sns.TopicSubscriptionConfig:
        """Add to the policies and return the subscription. The CDK calls this."""
        this_topic = {"ArnEquals": {"aws:SourceArn": topic.topic_arn}}
        sending = _allow_sns(self._queue, "sqs:SendMessage", on=self._queue.queue_arn, conditions=this_topic)
        # https://docs.aws.amazon.com/sns/latest/dg/sns-enable-encryption-for-topic-sqs-queue-subscriptions.html
        for queue in (self._queue, self._undelivered):
            if (key := queue.encryption_master_key) is not None:
                # The topic's ARN would be a cycle if the topic needs the key, or the stack that of the key.
                cycle = key == topic.master_key or Stack.of(key) is not Stack.of(topic)
                here = {"StringEquals": {"aws:SourceAccount": Stack.of(topic).account}}
                condition = here if cycle else this_topic
                _allow_sns(key, "kms:Decrypt", "kms:GenerateDataKey", on="*", conditions=condition)
        attributes = self._subscriber.filter_policy
        body = self._subscriber.filter_policy_with_message_body
        return sns.TopicSubscriptionConfig(
            subscriber_scope=self._queue,
            subscriber_id=Names.node_unique_id(topic.node),
            protocol=sns.SubscriptionProtocol.SQS,
            endpoint=self._queue.queue_arn,
            raw_message_delivery=True,
            filter_policy=dict(attributes) if attributes else None,
            filter_policy_with_message_body=dict(body) if body else None,
            dead_letter_queue=self._undelivered,
            subscription_dependency=sending,
        )


def _allow_sns(
    resource: sqs.IQueue | kms.IKey, *actions: str, on: str, conditions: Mapping[str, object]
) -> IDependable | None:
    """Allow SNS actions in the policy of a queue or key, or warn that it is imported; return the policy."""
    result = resource.add_to_resource_policy(
        iam.PolicyStatement(
            actions=list(actions),
            principals=[iam.ServicePrincipal("sns.amazonaws.com", conditions=conditions)],
            resources=[on],
        )
    )
    if not result.statement_added:
        Annotations.of(resource).add_warning_v2(
            "cdk-lambda-patterns:snsImportedPolicy",
            f"{resource.node.path} is imported, so its policy cannot be changed here. Its owner must allow "
            f"the principal sns.amazonaws.com {', '.join(actions)} for the topic.",
        )
    return result.policy_dependable


def _maximum_message_size(topic: sns.ITopic) -> float:
    """Return the limit of a topic; for an imported one, the default of SNS."""
    resource = topic.node.default_child
    given = resource.maximum_message_size if isinstance(resource, sns.CfnTopic) else None
    return given or _DEFAULT_MESSAGE_SIZE


def _check_topic(topic: sns.ITopic | None, options: SnsFifoFanoutOptions | None) -> None:
    if topic is None:
        return
    refuse_settings("topic", {"options": options is not None})
    if not topic.fifo:
        raise ValueError(
            f"topic={topic.node.path}: it is a standard topic, which keeps no order; give a FIFO topic. An "
            "imported one whose ARN is a token is FIFO only with Topic.from_topic_attributes(fifo=True)."
        )


def _check_queues(subscribers: Mapping[str, Subscriber]) -> None:
    for name, subscriber in subscribers.items():
        if subscriber.queue is not None and not subscriber.queue.fifo:
            raise ValueError(
                f"queue of subscriber {name!r}: it is a standard queue, which keeps no order; "
                "give a FIFO queue, or leave it out."
            )
