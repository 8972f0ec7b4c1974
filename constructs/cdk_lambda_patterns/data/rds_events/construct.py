"""The function, and both ways in which RDS reports to it."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal, get_args

from aws_cdk import Annotations, RemovalPolicy, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_rds as rds
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from constructs import Construct, IDependable

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.dead_letters import allow_dead_letters, check_dead_letters
from cdk_lambda_patterns.core.event_patterns import check_event_pattern
from cdk_lambda_patterns.core.event_sources import Code
from cdk_lambda_patterns.core.failure_queue import check_standard, make_failure_queue
from cdk_lambda_patterns.core.function import DEFAULT_HANDLER, HardenedFunction
from cdk_lambda_patterns.core.limits import check_choice
from cdk_lambda_patterns.core.options import AsyncOptions, FunctionOptions, NetworkOptions
from cdk_lambda_patterns.core.regions import check_region, differ
from cdk_lambda_patterns.core.topics import allow_service_to_publish, check_topic_key
from cdk_lambda_patterns.data.rds_events.sources import RdsEventSource, RdsSourceType

Delivery = Literal["subscription", "rule", "both"]
# https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/CHAP_Limits.html
_QUOTA = 20


@check_types
class RdsEvents(Construct):
    """A function that RDS reports to: by event subscription, by EventBridge rule, or both.

    With an event subscription, RDS publishes to a topic, whose policy and key let RDS do so for this account
    only, and SNS invokes the function with a notification. With a rule, EventBridge invokes it with the
    event. Both ways are asynchronous. What they cannot deliver, because the function or the permission is
    gone, goes to the undelivered queue. What the function failed to process in three attempts goes to its
    failure queue, as a record with the reason.

    RDS reports on databases, not on their data: on a best-effort basis, in no order. Notifications of SNS may
    be five minutes late. With both ways, each event comes twice; neither has an id that is in both, so
    compare source, event id (``RDS-EVENT-0006``) and time. The first message of a subscription is no event,
    but a text which says that RDS will attempt to send some.

    Args:
        code: The folder of the handler, or any ``lambda_.Code``.
        sources: What to report. ``[RdsEventSource()]``: every event of this account and Region. What is in
            several sources comes once for each.
        delivery: ``"subscription"``, ``"rule"`` or ``"both"``.
        handler: ``module.function`` in that folder.
        topic: A standard topic that RDS publishes to. Default: a new one.
        undelivered_queue: For what SNS and EventBridge cannot deliver. Default: a new one.
        asynchronous: Retries and maximum age of the events that Lambda has accepted.
        function_options: Settings of the function. Default: 256 MB, 30 seconds.
        network: The VPC that the function runs in. Default: none of yours.
        removal_policy: What happens to queues and logs when the stack is deleted. Default: they are retained.

    Raises:
        ValueError: There is no source, one is there twice, or an event subscription cannot have it; topic or
            queue is FIFO, in another Region, or encrypted with a key that the services may not use.

    Attributes:
        function (HardenedFunction): The function.
        topic (ITopic | None): What RDS publishes to; none without subscription.
        event_subscriptions (tuple[CfnEventSubscription, ...]): One for each source.
        rules (tuple[Rule, ...]): One for each source.
        undelivered_queue (IQueue): What SNS and EventBridge could not deliver.
        failure_queue (IQueue): What the function failed to process.

    Example::

        failovers = RdsEventSource(
            source_type=RdsSourceType.DB_CLUSTER, categories=[DbClusterCategory.FAILOVER]
        )
        RdsEvents(self, "Failovers", code="worker", sources=[failovers], delivery="rule")

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.overview.html
    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/USER_Events.GrantingPermissions.html
    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-cloud-watch-events.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        code: Code,
        sources: Sequence[RdsEventSource],
        delivery: Delivery = "subscription",
        handler: str = DEFAULT_HANDLER,
        topic: sns.ITopic | None = None,
        undelivered_queue: sqs.IQueue | None = None,
        asynchronous: AsyncOptions | None = None,
        function_options: FunctionOptions | None = None,
        network: NetworkOptions | None = None,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        check_choice("delivery", delivery, get_args(Delivery))
        _check_sources(sources, delivery)
        check_standard("topic", topic, "RDS publishes to standard ones only")
        check_region(scope, "RDS publishes to topics of its own Region", {"topic": topic})
        if topic is not None:
            if delivery == "rule":
                raise ValueError("topic: a rule uses no topic; leave it out, or choose delivery='both'.")
            check_topic_key(f"topic={topic.node.path}: it", topic, "RDS")
        check_dead_letters("undelivered_queue", undelivered_queue, "SNS or EventBridge")
        # https://docs.aws.amazon.com/sns/latest/dg/sns-dead-letter-queues.html (EventBridge: Region only)
        reason = (
            "SNS uses a dead-letter queue of its own account and Region, EventBridge one of its own Region"
        )
        in_account = delivery != "rule"
        check_region(scope, reason, {"undelivered_queue": undelivered_queue}, in_account=in_account)
        super().__init__(scope, id)

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
        services = {"subscription": ["sns"], "rule": ["events"], "both": ["sns", "events"]}[delivery]
        principals = [f"{service}.amazonaws.com" for service in services]
        dead_letters = allow_dead_letters(self, self.undelivered_queue, *principals)
        ids = _ids(sources)

        self.topic: sns.ITopic | None = None
        self.event_subscriptions: tuple[rds.CfnEventSubscription, ...] = ()
        if "sns" in services:
            self.topic = topic or sns.Topic(self, "Topic", enforce_ssl=True)
            allowed = self._allow_rds(self.topic)
            self.topic.add_subscription(
                subscriptions.LambdaSubscription(self.function, dead_letter_queue=dead_letters)
            )
            _warn_if_many(self, sources)
            self.event_subscriptions = tuple(
                rds.CfnEventSubscription(
                    self, f"{name}Subscription", sns_topic_arn=self.topic.topic_arn, **source.subscription()
                )
                for name, source in zip(ids, sources, strict=True)
            )
            if allowed is not None:
                for subscription in self.event_subscriptions:
                    # RDS tries the permission when the subscription is made.
                    subscription.node.add_dependency(allowed)

        self.rules: tuple[events.Rule, ...] = ()
        if "events" in services:
            target = targets.LambdaFunction(self.function, dead_letter_queue=dead_letters)
            self.rules = tuple(
                events.Rule(self, f"{name}Rule", event_pattern=source.pattern(), targets=[target])
                for name, source in zip(ids, sources, strict=True)
            )
            for rule in self.rules:
                check_event_pattern("event pattern of sources", rule)

    def _allow_rds(self, topic: sns.ITopic) -> IDependable | None:
        """Let RDS publish for the resources of this account and Region; return the policy, if it is ours."""
        stack = Stack.of(self)
        subscribe = f", and {stack.account} sns:Subscribe"
        return allow_service_to_publish(
            self,
            topic,
            "events.rds.amazonaws.com",
            f"arn:{stack.partition}:rds:{stack.region}:{stack.account}:*",
            owner_must_allow="events.rds.amazonaws.com sns:Publish for the account of the databases"
            f"{subscribe if differ(topic.env.account, stack.account) else ''}",
        )


def _check_sources(sources: Sequence[RdsEventSource], delivery: Delivery) -> None:
    if not sources:
        raise ValueError("sources=(): give at least one; RdsEventSource() is every event in this Region.")
    if delivery != "rule" and any(one.source_type == RdsSourceType.DB_SHARD_GROUP for one in sources):
        raise ValueError(
            f"delivery={delivery!r}: event subscriptions have no source type db-shard-group; use "
            "delivery='rule' for it."
        )
    for number, source in enumerate(sources):
        if any(source.is_same_as(other) for other in sources[:number]):
            raise ValueError(
                f"sources[{number}] is the same as one before it: each event would come twice; leave it out."
            )


def _warn_if_many(scope: Construct, sources: Sequence[RdsEventSource]) -> None:
    if len(sources) > _QUOTA:
        Annotations.of(scope).add_warning_v2(
            "cdk-lambda-patterns:manySubscriptions",
            f"sources has {len(sources)} items, each with an event subscription. An account has {_QUOTA} of "
            "them in a Region unless AWS raises the quota; give several source_ids to one source, or choose "
            "delivery='rule'.",
        )


def _ids(sources: Sequence[RdsEventSource]) -> list[str]:
    """Return an id for each source: its type, with a number from the second of a type on."""
    seen: Counter[str] = Counter()
    ids = []
    for source in sources:
        name = "".join(word.capitalize() for word in (source.source_type or "all").split("-"))
        seen[name] += 1
        ids.append(name if seen[name] == 1 else f"{name}{seen[name]}")
    return ids
