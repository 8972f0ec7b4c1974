"""The construct."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from aws_cdk import ArnFormat, CfnElement, Duration, RemovalPolicy, Stack, Token
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from constructs import Construct

from cdk_lambda_patterns.core.arguments import check_types
from cdk_lambda_patterns.core.keys import check_key
from cdk_lambda_patterns.core.regions import check_region
from cdk_lambda_patterns.core.topics import allow_service_to_publish, check_topic_key, let_service_encrypt
from cdk_lambda_patterns.observability.monitoring.alarms import Alarms, Watched, watched_by
from cdk_lambda_patterns.observability.monitoring.dashboard import make_dashboard
from cdk_lambda_patterns.observability.monitoring.exposed import exposed_by, log_group_name
from cdk_lambda_patterns.observability.monitoring.queries import save_queries

# https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
_MOST_ALARMS, _LONGEST_RULE = 100, 10_240
# What is around the name of an alarm in the rule: the longest Region, and what CloudFormation adds.
_AROUND = len('ALARM("arn:aws-us-gov:cloudwatch:ap-northeast-1:123456789012:alarm:--1234567890123") OR ')
_LONG_STACK_NAME = 100  # a nested stack's, which is known only at deployment
_PERIOD = Duration.minutes(5)
_CLOUDWATCH = "cloudwatch.amazonaws.com"


@check_types
class Monitoring(Construct):
    """A dashboard, saved queries and, if asked for, alarms for constructs and resources.

    It takes any construct: of its public attributes, and those of the constructs under it, it monitors the
    functions and aliases, queues, tables, streams, APIs, load balancers and state machines. Queues whose
    attribute is named for dead letters, failures or undelivered messages are failure queues. What the CDK
    makes for itself is not monitored.

    With ``alarms``, the composite alarm is in ALARM while any alarm is that users notice, and only it
    notifies the topic: one notification, however much is broken. Alarms of failure queues notify it
    themselves, because no user notices. Nothing is monitored that cannot go wrong: an alarm of an
    asynchronous queue, for example, is made for functions that are configured for it.

    Args:
        patterns: Constructs of this library or of your own, a whole stack, or single functions, aliases,
            queues, tables, streams, APIs, load balancers and state machines: owned, from another stack, or
            imported.
        alarms: At which values alarms go off; ``Alarms()`` for the defaults. Default: no alarms.
        topic: Gets a message when users are hurt, when that is over, and when a failure queue gets messages.
            Default: a new topic, if there are alarms.
        encryption_key: Customer managed key of the new topic. Default: that of the app's property injectors,
            or a new one. (CloudWatch may not use the key that AWS manages.)
        dashboard: Whether to make the dashboard.
        saved_queries: Whether to save queries on the functions' logs.
        removal_policy: What happens to the new key when the stack is deleted. Default: it is retained.

    Raises:
        ValueError: A pattern exposes nothing that can be monitored, or what is in another account or Region,
            there would be too many alarms or metrics, an argument would have no effect, or CloudWatch may
            not notify the topic, or use its key.

    Attributes:
        alarms (Mapping[str, Alarm]): The alarms by path and kind: ``alarms["Orders/Function: Errors"]``.
        composite_alarm (CompositeAlarm | None): In ALARM while users are hurt.
        topic (ITopic | None): The topic, if there are alarms.
        encryption_key (IKey | None): The key of the new topic.
        dashboard (Dashboard | None): The dashboard.
        queries (list[CfnQueryDefinition]): The saved queries.

    Example::

        orders = HardenedFunction(self, "Orders", code="worker")
        monitoring = Monitoring(self, "Monitoring", patterns=[orders, table], alarms=Alarms(error_rate=1))
        monitoring.topic.add_subscription(subscriptions.EmailSubscription("on-call@example.com"))

    https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics.html
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-combining.html
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        patterns: Sequence[Any],
        alarms: Alarms | None = None,
        topic: sns.ITopic | None = None,
        encryption_key: kms.IKey | None = None,
        dashboard: bool = True,
        saved_queries: bool = True,
        removal_policy: RemovalPolicy = RemovalPolicy.RETAIN,
    ) -> None:
        _check_topic(alarms, topic, encryption_key)
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
        check_region(scope, "CloudWatch notifies topics of its own Region only", {"topic": topic})
        exposed = exposed_by(scope, patterns)
        watched = [*watched_by(alarms, exposed)] if alarms is not None else []
        if alarms is not None and not watched:
            raise ValueError(
                "alarms: none would be made of what the patterns expose, and nothing would notify the topic; "
                "give values for what they expose, or leave alarms out."
            )
        super().__init__(scope, id)
        self.alarms: Mapping[str, cloudwatch.Alarm] = {}
        self.topic = topic
        self.encryption_key = check_key("encryption_key", encryption_key)
        self.composite_alarm: cloudwatch.CompositeAlarm | None = None
        if alarms is not None:
            self._make_topic(removal_policy)
            self._make_alarms(alarms, watched)
        shown: list[cloudwatch.IAlarm] = [*self.alarms.values()]
        if self.composite_alarm is not None:
            shown.insert(0, self.composite_alarm)
        self.dashboard: cloudwatch.Dashboard | None = None
        if dashboard:
            self.dashboard = make_dashboard(self, exposed, shown, alarms.period if alarms else _PERIOD)
        groups = list(dict.fromkeys(map(log_group_name, exposed.of("function").values())))
        self.queries = save_queries(self, groups) if saved_queries else []

    def _make_topic(self, removal_policy: RemovalPolicy) -> None:
        if self.topic is None:
            topic = sns.Topic(self, "Topic", master_key=self.encryption_key, enforce_ssl=True)
            resource = topic.node.default_child
            assert isinstance(resource, sns.CfnTopic)
            if resource.kms_master_key_id is None:
                # Not as an argument, because that would overrule a key from the app's property injectors.
                self.encryption_key = kms.Key(
                    self, "Key", enable_key_rotation=True, removal_policy=removal_policy
                )
                resource.kms_master_key_id = self.encryption_key.key_arn
                let_service_encrypt(self, self.encryption_key, _CLOUDWATCH)
            self.topic = topic
        stack = Stack.of(self)
        # https://docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
        allow_service_to_publish(
            self,
            self.topic,
            _CLOUDWATCH,
            stack.format_arn(
                service="cloudwatch",
                resource="alarm",
                resource_name="*",
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            ),
            owner_must_allow=f"{_CLOUDWATCH} to publish for the alarms of this account",
        )

    def _make_alarms(self, alarms: Alarms, watched: Sequence[Watched]) -> None:
        """Make the alarms, and the composite alarm of those that users notice."""
        assert self.topic is not None
        notify = actions.SnsAction(self.topic)
        hurting = []
        for one in watched:
            alarm_id = f"{one.label.replace('/', '-')}-{one.kind}"
            if self.node.try_find_child(alarm_id) is not None:
                raise ValueError(
                    f"patterns: the alarms of {one.label} have the same ids as those of another path, with - "
                    "instead of /; rename one of the two, or give them to two Monitorings."
                )
            alarm = cloudwatch.Alarm(
                self,
                alarm_id,
                metric=one.metric,
                alarm_description=f"{one.label}: {one.says}",
                threshold=one.threshold,
                evaluation_periods=alarms.evaluation_periods,
                datapoints_to_alarm=alarms.datapoints_to_alarm,
                comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
                treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
            )
            self.alarms = {**self.alarms, f"{one.label}: {one.kind}": alarm}
            if one.hurts:
                hurting.append(alarm)
            else:
                alarm.add_alarm_action(notify)
        length = _longest_rule(Stack.of(self), hurting)
        if len(hurting) > _MOST_ALARMS or length > _LONGEST_RULE:
            raise ValueError(
                f"patterns: they have {len(hurting)} alarms that users notice. Their composite alarm's rule "
                f"may have {length:,} characters; CloudWatch allows {_MOST_ALARMS} alarms and "
                f"{_LONGEST_RULE:,} characters. Give the patterns to several Monitorings."
            )
        if hurting:
            self.composite_alarm = cloudwatch.CompositeAlarm(
                self,
                "UsersAreHurt",
                alarm_rule=cloudwatch.AlarmRule.any_of(*hurting),
                alarm_description=f"Users are hurt: see the alarms of {self.node.path}",
            )
            # CloudFormation names it: the CDK's name would be the same for a second deployment.
            resource = self.composite_alarm.node.default_child
            assert isinstance(resource, cloudwatch.CfnCompositeAlarm)
            resource.alarm_name = None
            self.composite_alarm.add_alarm_action(notify)
            self.composite_alarm.add_ok_action(notify)


def _longest_rule(stack: Stack, alarms: Sequence[cloudwatch.Alarm]) -> int:
    """The most characters that the rule of a composite alarm of these may have."""
    name = stack.stack_name
    around = _AROUND + (_LONG_STACK_NAME if Token.is_unresolved(name) else len(name))
    return sum(
        around + len(stack.get_logical_id(cast(CfnElement, alarm.node.default_child))) for alarm in alarms
    )


def _check_topic(alarms: Alarms | None, topic: sns.ITopic | None, key: kms.IKey | None) -> None:
    if alarms is None and (topic is not None or key is not None):
        raise ValueError(
            "topic or encryption_key without alarms: nothing would notify the topic; give alarms=Alarms() as "
            "well, or leave them out."
        )
    if topic is not None and key is not None:
        raise ValueError(
            "encryption_key cannot be combined with topic: it is for a new topic; configure it on the topic."
        )
    if topic is not None and topic.fifo:
        raise ValueError(
            f"topic={topic.node.path}: CloudWatch cannot notify a FIFO topic; give a standard topic."
        )
    check_topic_key("topic", topic, "CloudWatch")
