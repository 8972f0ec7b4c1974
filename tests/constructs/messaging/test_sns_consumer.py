"""SnsConsumer: subscription, filters, the two queues, and S3 and other accounts as publishers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import App, Environment, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from aws_cdk.assertions import Annotations, Match, Template

from cdk_lambda_patterns.messaging.sns_consumer import SnsConsumer
from tests.templates import Resources, stack_with

CODE = lambda_.Code.from_inline("def handler(event, context): return event")
EU = Environment(account="123456789012", region="eu-west-1")
ARN = "arn:aws:sns:eu-west-1:{}:news"


def make(stack: Stack, id: str = "News", **more: Any) -> SnsConsumer:
    return SnsConsumer(stack, id, code=CODE, handler="index.handler", **more)


def strings(*values: str) -> sns.SubscriptionFilter:
    return sns.SubscriptionFilter.string_filter(allowlist=list(values))


def fields(**policy: int) -> dict[str, sns.FilterOrPolicy]:
    return {
        name: sns.FilterOrPolicy.filter(strings(*map(str, range(count)))) for name, count in policy.items()
    }


@stack_with
def everything(stack: Stack) -> None:
    news = make(stack, filter_policy={"severity": strings("high")})
    make(stack, "Body", topic=news.topic, filter_policy_with_message_body=fields(cents=2))
    bucket = s3.Bucket(stack, "Bucket")
    bucket.add_event_notification(s3.EventType.OBJECT_CREATED, news.bucket_destination())


def test_the_topic_only_may_invoke_the_function(everything: Resources) -> None:
    (topic,) = everything.all("AWS::SNS::Topic")
    for permission in everything.all("AWS::Lambda::Permission").values():
        if permission["Principal"] == "sns.amazonaws.com":
            assert permission["SourceArn"] == {"Ref": topic}


def test_each_subscription_has_its_filter_and_its_dead_letter_queue(everything: Resources) -> None:
    subscriptions = {name[:4]: one for name, one in everything.all("AWS::SNS::Subscription").items()}
    assert subscriptions["News"]["FilterPolicy"] == {"severity": ["high"]}
    assert subscriptions["Body"]["FilterPolicy"] == {"cents": ["0", "1"]}
    assert subscriptions["Body"]["FilterPolicyScope"] == "MessageBody"
    queues = {str(one["RedrivePolicy"]) for one in subscriptions.values()}
    assert len(queues) == 2
    assert all("UndeliveredQueue" in queue for queue in queues)


def test_s3_may_publish_for_the_bucket_of_this_account_only(everything: Resources) -> None:
    statements = [
        one
        for policy in everything.all("AWS::SNS::TopicPolicy").values()
        for one in policy["PolicyDocument"]["Statement"]
        if one["Principal"] == {"Service": "s3.amazonaws.com"}
    ]
    (bucket,) = everything.all("AWS::S3::Bucket")
    assert [one["Condition"] for one in statements] == [
        {
            "ArnLike": {"aws:SourceArn": {"Fn::GetAtt": [bucket, "Arn"]}},
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        }
    ]


@pytest.mark.parametrize(("account", "warnings"), [("123456789012", 0), ("210987654321", 1)])
def test_the_owner_of_a_topic_of_another_account_must_allow_it(account: str, warnings: int) -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)
    make(stack, topic=sns.Topic.from_topic_arn(stack, "T", ARN.format(account)))
    found: list[Any] = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("must allow 123456789012 sns:Subscribe")
    )
    assert len(found) == warnings


def test_an_imported_topic_cannot_be_opened_for_a_bucket_here() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)
    news = make(stack, topic=sns.Topic.from_topic_arn(stack, "T", ARN.format("123456789012")))
    s3.Bucket(stack, "Bucket").add_event_notification(s3.EventType.OBJECT_CREATED, news.bucket_destination())
    Annotations.from_stack(stack).has_warning("*", Match.string_like_regexp("allow s3.amazonaws.com sns:Pub"))


@stack_with
def encrypted(stack: Stack) -> None:
    news = make(stack, topic=sns.Topic(stack, "Topic", master_key=kms.Key(stack, "Key")))
    # The key of the topic encrypts the bucket as well: the key cannot name it.
    bucket = s3.Bucket(stack, "Bucket", encryption_key=news.topic.master_key)
    bucket.add_event_notification(s3.EventType.OBJECT_CREATED, news.bucket_destination())


def test_s3_may_use_the_key_of_the_topic(encrypted: Resources) -> None:
    statements = encrypted.only("AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (allowed,) = (one for one in statements if one["Principal"] == {"Service": "s3.amazonaws.com"})
    assert set(allowed["Action"]) == {"kms:GenerateDataKey", "kms:Decrypt"}
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


@stack_with
def with_key(stack: Stack) -> None:
    make(stack, undelivered_queue=sqs.Queue(stack, "Dead", encryption_master_key=kms.Key(stack, "Key")))


def test_sns_may_use_the_key_of_the_dead_letter_queue(with_key: Resources) -> None:
    statements = with_key.only("AWS::KMS::Key")["KeyPolicy"]["Statement"]
    (allowed,) = (one for one in statements if one["Principal"] == {"Service": "sns.amazonaws.com"})
    assert set(allowed["Action"]) == {"kms:GenerateDataKey", "kms:Decrypt"}
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_an_imported_dead_letter_queue_must_be_opened_by_its_owner() -> None:
    stack = Stack(App(builtin_cloud_formation_validation=False), "Stack", env=EU)
    arn = "arn:aws:sqs:eu-west-1:123456789012:dead"
    make(stack, undelivered_queue=sqs.Queue.from_queue_arn(stack, "Q", arn))
    Annotations.from_stack(stack).has_warning("*", Match.string_like_regexp("must allow .* sqs:SendMessage"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (lambda s: {"filter_policy": {f"k{n}": strings("a") for n in range(6)}}, "keys=6: SNS allows 1 to 5"),
        (lambda s: {"filter_policy": {}}, "keys=0: SNS allows 1 to 5"),
        (
            lambda s: {"filter_policy_with_message_body": fields(a=10, b=16)},
            "the numbers of values=160: SNS allows 1 to 150 combinations",
        ),
        (
            lambda s: {
                "filter_policy_with_message_body": {
                    "deep": sns.FilterOrPolicy.policy(fields(a=1, b=1, c=1, d=1, e=1, f=1))
                }
            },
            "keys=6: SNS allows",
        ),
        (
            lambda s: {"filter_policy": {"a": strings("a")}, "filter_policy_with_message_body": fields(a=1)},
            "filter_policy cannot be combined",
        ),
        *(
            (
                lambda _, numbers=numbers: {
                    "filter_policy": {"a": sns.SubscriptionFilter.numeric_filter(**numbers)}
                },
                "SNS compares numbers from",
            )
            for numbers in (
                {"greater_than": 10**9 + 1},
                {"less_than": -1e300},
                {"allowlist": [1, 0.000001]},
                {"between": sns.BetweenCondition(start=0, stop=1.123456)},
            )
        ),
        (
            lambda _: {
                "filter_policy_with_message_body": {
                    "deep": sns.FilterOrPolicy.policy(
                        {
                            "a": sns.FilterOrPolicy.filter(
                                sns.SubscriptionFilter.numeric_filter(greater_than=2e9)
                            )
                        }
                    )
                }
            },
            "SNS compares numbers from",
        ),
        (
            lambda s: {"topic": sns.Topic(s, "T", fifo=True)},
            "topic=Stack/T: it is a FIFO .*, and SNS invokes functions",
        ),
        (
            lambda s: {"undelivered_queue": sqs.Queue(s, "Q", fifo=True)},
            "undelivered_queue=Stack/Q: it is",
        ),
        (
            lambda s: {"undelivered_queue": sqs.Queue(s, "Q", encryption=sqs.QueueEncryption.KMS_MANAGED)},
            "undelivered_queue=Stack/Q: it is encrypted with alias/aws/sqs",
        ),
        (
            lambda s: {
                "undelivered_queue": sqs.Queue.from_queue_arn(
                    s, "Q", "arn:aws:sqs:eu-west-1:111122223333:dead"
                )
            },
            "undelivered_queue=Stack/Q: it is in 111122223333",
        ),
        (
            lambda s: {"topic": sns.Topic.from_topic_arn(s, "T", "arn:aws:sns:eu-west-3:123456789012:news")},
            "eu-west-3",
        ),
    ],
)
def test_what_sns_refuses_is_refused(arguments: Callable[[Stack], dict[str, Any]], message: str) -> None:
    stack = Stack(App(), "Stack", env=EU)
    with pytest.raises(ValueError, match=message):
        make(stack, **arguments(stack))


@pytest.mark.parametrize("number", [10**9, -(10**9), 0.12345, 999_999_999.99999])
def test_the_largest_numbers_are_accepted(number: float) -> None:
    make(Stack(), filter_policy={"a": sns.SubscriptionFilter.numeric_filter(greater_than=number)})


def test_s3_cannot_use_the_key_of_aws() -> None:
    stack = Stack()
    key = kms.Alias.from_alias_name(stack, "Key", "alias/aws/sns")
    news = make(stack, topic=sns.Topic(stack, "Topic", master_key=key))
    bucket = s3.Bucket(stack, "Bucket")
    with pytest.raises(RuntimeError, match="is encrypted with alias/aws/sns, which S3 may not use"):
        bucket.add_event_notification(s3.EventType.OBJECT_CREATED, news.bucket_destination())


def test_bucket_and_topic_of_two_stacks_are_refused_with_the_ways_out() -> None:
    app = App()
    ours, theirs = Stack(app, "Ours"), Stack(app, "Theirs")
    news, bucket = make(ours), s3.Bucket(theirs, "Bucket")
    with pytest.raises(RuntimeError, match="Theirs/Bucket and Ours/News/Topic are in different stacks"):
        bucket.add_event_notification(s3.EventType.OBJECT_CREATED, news.bucket_destination())
    imported = s3.Bucket.from_bucket_name(ours, "Bucket", bucket.bucket_name)
    imported.add_event_notification(s3.EventType.OBJECT_CREATED, news.bucket_destination())
    make(ours, "Second", topic=sns.Topic(theirs, "Topic"))
    app.synth()


def test_the_account_of_the_topic_may_use_the_key_of_the_queue() -> None:
    stack = Stack(App(), "Stack", env=EU)
    queue = sqs.Queue(stack, "Queue", encryption_master_key=kms.Key(stack, "Key"))
    make(
        stack, topic=sns.Topic.from_topic_arn(stack, "T", ARN.format("210987654321")), undelivered_queue=queue
    )
    (key,) = Resources(dict(Template.from_stack(stack).to_json())).all("AWS::KMS::Key").values()
    (allowed,) = (one for one in key["KeyPolicy"]["Statement"] if "Service" in one["Principal"])
    assert allowed["Condition"] == {"StringEquals": {"aws:SourceAccount": "210987654321"}}
