"""RdsEvents: subscriptions and rules for each source, categories, the topic's policy, and the queues."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Environment, Fn, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns.data.rds_events import (
    CustomEngineVersionCategory,
    DbClusterCategory,
    DbInstanceCategory,
    DbProxyCategory,
    DbShardGroupCategory,
    RdsEvents,
    RdsEventSource,
    RdsSourceType,
)
from cdk_lambda_patterns.data.rds_events.sources import CATEGORIES
from tests.templates import Resources, as_list, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
EU = Environment(account="123456789012", region="eu-west-1")
TOPIC = "arn:aws:sns:eu-west-1:{}:events"
ALL = [RdsEventSource()]
FAILOVERS = RdsEventSource(
    source_type=RdsSourceType.DB_INSTANCE,
    categories=[DbInstanceCategory.FAILOVER, DbInstanceCategory.LOW_STORAGE],
    source_ids=["orders"],
)


def make(stack: Stack, **more: Any) -> RdsEvents:
    return RdsEvents(stack, "Events", **{"code": CODE, "handler": "index.handler", "sources": ALL, **more})


def new_stack() -> Stack:
    return Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)


@stack_with
def both(stack: Stack) -> None:
    proxies = RdsEventSource(source_type=RdsSourceType.DB_PROXY)
    failures = RdsEventSource(source_type=RdsSourceType.DB_PROXY, categories=[DbProxyCategory.FAILURE])
    make(stack, sources=[FAILOVERS, proxies, *ALL, failures], delivery="both")


def test_each_source_has_a_subscription(both: Resources) -> None:
    (topic,) = both.all("AWS::SNS::Topic")
    assert list(both.all("AWS::RDS::EventSubscription").values()) == [
        {
            "SnsTopicArn": {"Ref": topic},
            "SourceType": "db-instance",
            "EventCategories": ["failover", "low storage"],
            "SourceIds": ["orders"],
        },
        {"SnsTopicArn": {"Ref": topic}, "SourceType": "db-proxy"},
        {"SnsTopicArn": {"Ref": topic}},
        {"SnsTopicArn": {"Ref": topic}, "SourceType": "db-proxy", "EventCategories": ["failure"]},
    ]


def test_each_source_has_a_rule_that_leaves_out_api_calls(both: Resources) -> None:
    patterns = [one["EventPattern"] for one in both.all("AWS::Events::Rule").values()]
    proxies = {"source": ["aws.rds"], "detail-type": ["RDS DB Proxy Event"]}
    assert patterns == [
        {
            "source": ["aws.rds"],
            "detail-type": ["RDS DB Instance Event"],
            "detail": {
                "EventCategories": ["failover", "low storage"],
                "SourceIdentifier": ["orders", "rds:orders"],
            },
        },
        proxies,
        {"source": ["aws.rds"], "detail-type": [{"prefix": "RDS "}]},
        proxies | {"detail": {"EventCategories": ["failure"]}},
    ]


def test_both_ways_leave_what_they_cannot_deliver_in_one_queue(both: Resources) -> None:
    subscription = both.only("AWS::SNS::Subscription")["RedrivePolicy"]["deadLetterTargetArn"]
    rules = both.all("AWS::Events::Rule").values()
    queues = [subscription, *(one["Targets"][0]["DeadLetterConfig"]["Arn"] for one in rules)]
    assert len({str(one) for one in queues}) == 1
    assert "UndeliveredQueue" in str(queues[0])


def test_rds_may_publish_for_this_account_before_a_subscription_is_made(both: Resources) -> None:
    (policy,) = both.all("AWS::SNS::TopicPolicy")
    statements = both.only("AWS::SNS::TopicPolicy")["PolicyDocument"]["Statement"]
    (allowed,) = (one for one in statements if one["Effect"] == "Allow")
    account = {"Ref": "AWS::AccountId"}
    parts = ["arn:", {"Ref": "AWS::Partition"}, ":rds:", {"Ref": "AWS::Region"}, ":", account, ":*"]
    assert (allowed["Principal"], allowed["Action"]) == (
        {"Service": "events.rds.amazonaws.com"},
        "sns:Publish",
    )
    assert allowed["Condition"] == {
        "ArnLike": {"aws:SourceArn": {"Fn::Join": ["", parts]}},
        "StringEquals": {"aws:SourceAccount": account},
    }
    resources = both.template["Resources"].values()
    made = [one for one in resources if one["Type"] == "AWS::RDS::EventSubscription"]
    assert [one["DependsOn"] for one in made] == [[policy]] * len(made)


@stack_with
def by_rule(stack: Stack) -> None:
    make(stack, delivery="rule", sources=[RdsEventSource(source_type=RdsSourceType.DB_SHARD_GROUP)])


def test_a_rule_needs_no_topic(by_rule: Resources) -> None:
    assert not by_rule.all("AWS::SNS::Topic")
    assert not by_rule.all("AWS::RDS::EventSubscription")
    assert by_rule.only("AWS::Events::Rule")["EventPattern"]["detail-type"] == ["RDS DB Shard Group Event"]


@stack_with
def encrypted(stack: Stack) -> None:
    topic = sns.Topic(stack, "Topic", master_key=kms.Key(stack, "Key"))
    dead = sqs.Queue(stack, "Dead", encryption_master_key=kms.Key(stack, "OtherKey"))
    events = make(stack, topic=topic, undelivered_queue=dead, delivery="both")
    assert (events.topic, events.undelivered_queue) == (topic, dead)


def test_the_services_may_use_the_keys_of_topic_and_queue(encrypted: Resources) -> None:
    allowed = {
        service: (set(statement["Action"]), statement.get("Condition"))
        for key in encrypted.all("AWS::KMS::Key").values()
        for statement in key["KeyPolicy"]["Statement"]
        for service in as_list(statement["Principal"].get("Service", []))
    }
    for_account = {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}
    for service in ("events.rds", "sns", "events"):
        use = {"kms:GenerateDataKey", "kms:Decrypt"}, for_account
        assert allowed[f"{service}.amazonaws.com"] == use


@pytest.mark.parametrize(("account", "also"), [("123456789012", ""), ("210987654321", "sns:Subscribe")])
def test_an_imported_topic_must_be_opened_by_its_owner(account: str, also: str) -> None:
    stack = new_stack()
    make(stack, topic=sns.Topic.from_topic_arn(stack, "T", TOPIC.format(account)))
    (found,) = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("allow events.rds.amazonaws.com sns:Publish")
    )
    assert ("sns:Subscribe" in found.entry.data) is bool(also)


def test_a_list_of_sources_may_be_known_only_at_deployment() -> None:
    stack = new_stack()
    ids = Fn.split(",", Fn.import_value("Databases"))
    make(
        stack, delivery="both", sources=[RdsEventSource(source_type=RdsSourceType.DB_CLUSTER, source_ids=ids)]
    )
    (rule,) = Template.from_stack(stack).find_resources("AWS::Events::Rule").values()
    assert "Fn::Split" in rule["Properties"]["EventPattern"]["detail"]["SourceIdentifier"]


# Of each table in the two user guides: how many categories there are.
@pytest.mark.parametrize(
    ("source_type", "count"),
    list(zip(RdsSourceType, [16, 11, 1, 2, 5, 3, 4, 3, 0, 3, 4], strict=True)),
)
def test_every_category_of_a_source_type_is_accepted_and_others_are_refused(
    source_type: RdsSourceType, count: int
) -> None:
    categories = list(CATEGORIES.get(source_type, ()))
    assert len(categories) == count
    RdsEventSource(source_type=source_type, categories=categories)
    others = {one for each in CATEGORIES.values() for one in each if str(one) not in map(str, categories)}
    for other in others:
        remedy = re.escape(", ".join(categories)) if categories else "leave them out"
        with pytest.raises(ValueError, match=f"{other}' does not exist for {source_type}; .*{remedy}"):
            RdsEventSource(source_type=source_type, categories=[other])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"categories": [DbClusterCategory.FAILOVER]}, "categories=.*give source_type"),
        ({"source_ids": ["orders"]}, "source_ids=.*give source_type"),
        ({"source_type": RdsSourceType.DB_INSTANCE, "source_ids": ["-a"]}, "'-a' is no identifier"),
        ({"source_type": RdsSourceType.DB_PROXY, "source_ids": ["a--b"]}, "no identifier of a db-proxy"),
        (
            {"source_type": RdsSourceType.DB_CLUSTER, "source_ids": ["arn:aws:rds:eu-west-1:1:cluster:a"]},
            "An ARN is no identifier",
        ),
        ({"source_type": RdsSourceType.DB_INSTANCE, "source_ids": "orders"}, "give a sequence of strings"),
        ({"source_type": "db-instance"}, "RdsSourceType.DB_INSTANCE"),
        ({"source_type": RdsSourceType.DB_PROXY, "categories": ["failure"]}, "categories"),
        (
            {
                "source_type": RdsSourceType.DB_PROXY,
                "categories": [CustomEngineVersionCategory.RESTORING],
            },
            "choose from configuration change, creation, deletion, failure",
        ),
    ],
)
def test_a_source_that_rds_refuses_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RdsEventSource(**arguments)


# How the API reference of each says that RDS stores it; if it does not say, events may have either spelling.
@pytest.mark.parametrize(
    ("source_type", "given", "subscribed", "matched"),
    [
        *(
            (kind, ["My-One", "my-one", "MY-ONE"], ["my-one"], ["my-one", "rds:my-one"])
            for kind in (
                RdsSourceType.DB_INSTANCE,
                RdsSourceType.DB_CLUSTER,
                RdsSourceType.DB_PARAMETER_GROUP,
                RdsSourceType.DB_SECURITY_GROUP,
                RdsSourceType.DB_SNAPSHOT,
                RdsSourceType.DB_CLUSTER_SNAPSHOT,
            )
        ),
        (RdsSourceType.DB_SNAPSHOT, ["rds:Orders-1"], ["rds:orders-1"], ["orders-1", "rds:orders-1"]),
        (
            RdsSourceType.DB_CLUSTER_SNAPSHOT,
            ["awsbackup:job-1"],
            ["awsbackup:job-1"],
            ["awsbackup:job-1", "rds:awsbackup:job-1"],
        ),
        *(
            (kind, ["My-One", "My-One"], ["My-One"], ["My-One", "rds:My-One", "my-one", "rds:my-one"])
            for kind in (
                RdsSourceType.DB_PROXY,
                RdsSourceType.DB_SHARD_GROUP,
                RdsSourceType.ZERO_ETL,
                RdsSourceType.BLUE_GREEN_DEPLOYMENT,
            )
        ),
        (
            RdsSourceType.CUSTOM_ENGINE_VERSION,
            ["19.my_cev1"],
            ["19.my_cev1"],
            ["19.my_cev1", "rds:19.my_cev1"],
        ),
    ],
)
def test_identifiers_are_those_that_rds_stores(
    source_type: RdsSourceType, given: list[str], subscribed: list[str], matched: list[str]
) -> None:
    source = RdsEventSource(source_type=source_type, source_ids=given)
    assert source.subscription()["source_ids"] == subscribed
    assert source.pattern().detail == {"SourceIdentifier": matched}


def test_the_longest_identifier_of_each_source_type_is_accepted() -> None:
    for kind, longest in zip(RdsSourceType, LONGEST, strict=True):
        RdsEventSource(source_type=kind, source_ids=["a" * longest])
        for bad in ("a" * (longest + 1), "", "a b", "ä", "a\n"):
            with pytest.raises(
                ValueError, match=f"no identifier of a {kind}; give 1 to {longest} characters"
            ):
                RdsEventSource(source_type=kind, source_ids=["a", bad])


LONGEST = [63, 63, 255, 255, 255, 255, 63, 63, 255, 60, 255]


@pytest.mark.parametrize(
    ("source_type", "source"),
    [
        (RdsSourceType.DB_INSTANCE, "rds:orders"),
        (RdsSourceType.DB_SNAPSHOT, "Mixed.Case Bad"),
        (RdsSourceType.DB_SNAPSHOT, "rds:rds:a"),
        (RdsSourceType.DB_SNAPSHOT, "rds:"),
        (RdsSourceType.DB_CLUSTER_SNAPSHOT, "arn:aws:rds:eu-west-1:123456789012:cluster-snapshot:a"),
        (RdsSourceType.DB_PARAMETER_GROUP, "default.mysql8.0"),
        (RdsSourceType.CUSTOM_ENGINE_VERSION, "19.My_CEV"),
    ],
)
def test_what_is_no_identifier_of_its_source_type_is_refused(source_type: RdsSourceType, source: str) -> None:
    with pytest.raises(ValueError, match="is no identifier of"):
        RdsEventSource(source_type=source_type, source_ids=[source])


def test_categories_are_there_once() -> None:
    backup = DbInstanceCategory.BACKUP
    twice = RdsEventSource(source_type=RdsSourceType.DB_INSTANCE, categories=[backup, backup])
    assert twice.subscription()["event_categories"] == ["backup"]


def test_a_source_that_is_there_twice_is_refused() -> None:
    backup, creation = DbInstanceCategory.BACKUP, DbInstanceCategory.CREATION
    one, other = (
        RdsEventSource(source_type=RdsSourceType.DB_INSTANCE, categories=categories, source_ids=[name])
        for categories, name in (([backup, creation], "Orders"), ([creation, backup], "orders"))
    )
    with pytest.raises(ValueError, match=r"sources\[2\] is the same as one before it"):
        make(new_stack(), sources=[one, *ALL, other], delivery="rule")


@pytest.mark.parametrize(("count", "delivery"), [(20, "subscription"), (21, "rule"), (21, "both")])
def test_more_subscriptions_than_the_quota_are_warned_of(count: int, delivery: str) -> None:
    stack, kind = new_stack(), RdsSourceType.DB_INSTANCE
    sources = [RdsEventSource(source_type=kind, source_ids=[f"a{number}"]) for number in range(count)]
    make(stack, sources=sources, delivery=delivery)
    found: list[Any] = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("sources has 21 items.*20.*quota")
    )
    assert len(found) == (count == 21 and delivery == "both")


def test_a_category_may_be_in_the_enums_of_several_source_types() -> None:
    source = RdsEventSource(source_type=RdsSourceType.DB_CLUSTER, categories=[DbProxyCategory.FAILURE])
    assert source.subscription()["event_categories"] == ["failure"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda s: {"sources": []}, "sources=.*give at least one"),
        (lambda s: {"delivery": "mail"}, "delivery='mail': choose one of"),
        (
            lambda s: {
                "sources": [
                    RdsEventSource(
                        source_type=RdsSourceType.DB_SHARD_GROUP,
                        categories=[DbShardGroupCategory.FAILURE],
                    )
                ],
                "delivery": "both",
            },
            "delivery='both': .*db-shard-group",
        ),
        (
            lambda s: {"topic": sns.Topic(s, "T", fifo=True)},
            "topic=Stack/T: it is a FIFO .*, and RDS publishes",
        ),
        (lambda s: {"topic": sns.Topic(s, "T"), "delivery": "rule"}, "topic: a rule uses no topic"),
        (
            lambda s: {
                "topic": sns.Topic.from_topic_arn(s, "T", TOPIC.format("1").replace("eu-west", "us-east"))
            },
            "topic=Stack/T: it is in us-east-1",
        ),
        (
            lambda s: {
                "topic": sns.Topic(s, "T", master_key=kms.Alias.from_alias_name(s, "A", "alias/aws/sns"))
            },
            "topic=Stack/T: it is encrypted with alias/aws/sns",
        ),
        (
            lambda s: {"undelivered_queue": sqs.Queue(s, "Q", encryption=sqs.QueueEncryption.KMS_MANAGED)},
            "undelivered_queue=Stack/Q: it is encrypted with alias/aws/sqs",
        ),
        (
            lambda s: {"undelivered_queue": sqs.Queue(s, "Q", fifo=True)},
            "undelivered_queue=Stack/Q: it is a F",
        ),
    ],
)
def test_what_cannot_work_is_refused(arguments: Callable[[Stack], dict[str, Any]], message: str) -> None:
    stack = new_stack()
    with pytest.raises(ValueError, match=message):
        make(stack, **arguments(stack))


def test_only_a_rule_takes_a_queue_of_another_account() -> None:
    def made_with(delivery: str) -> Stack:
        stack = new_stack()
        queue = sqs.Queue.from_queue_arn(stack, "Q", "arn:aws:sqs:eu-west-1:210987654321:dead")
        make(stack, undelivered_queue=queue, delivery=delivery)
        return stack

    Annotations.from_stack(made_with("rule")).has_warning("*", Match.string_like_regexp("sqs:SendMessage"))
    for delivery in ("subscription", "both"):
        with pytest.raises(ValueError, match="undelivered_queue=Stack/Q: it is in 210987654321"):
            made_with(delivery)


def test_the_queue_may_be_from_another_stack_or_imported() -> None:
    app = App(builtin_cloud_formation_validation=False)
    theirs, ours = Stack(app, "Theirs", env=EU), Stack(app, "Ours", env=EU)
    make(ours, undelivered_queue=sqs.Queue(theirs, "Dead"), delivery="both")
    app.synth()
    other = new_stack()
    queue = sqs.Queue.from_queue_arn(other, "Q", "arn:aws:sqs:eu-west-1:123456789012:dead")
    make(other, undelivered_queue=queue, delivery="both")
    found: list[Any] = Annotations.from_stack(other).find_warning(
        "*", Match.string_like_regexp("must allow .* sqs:SendMessage")
    )
    assert len(found) == 2
