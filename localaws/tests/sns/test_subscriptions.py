"""Topics with an archive, which SNS does not delete, and subscriptions that it refuses."""

from __future__ import annotations

import json
import uuid

import pytest
from botocore.exceptions import ClientError

from helpers.stacks import DeploymentFailedError, arn, deploy, ref
from localaws import LocalAws

pytestmark = pytest.mark.local

ARCHIVED = "Invalid state: Cannot delete a topic with an ArchivePolicy"
DEAD = "must use a FIFO queue as DLQ for a FIFO Subscription to a FIFO Topic"
ELSEWHERE = "must be in the account and region of the subscription"


def topic(aws: LocalAws, **attributes: str) -> str:
    """Make a FIFO topic; returns its ARN."""
    name = f"topic-{uuid.uuid4().hex[:8]}.fifo"
    made: str = aws.client("sns").create_topic(Name=name, Attributes={"FifoTopic": "true", **attributes})[
        "TopicArn"
    ]
    return made


def test_a_topic_with_an_archive_is_deleted_only_without_it(local_aws: LocalAws) -> None:
    sns, made = local_aws.client("sns"), topic(local_aws)
    policies = [json.dumps({"MessageRetentionPeriod": "7"}), "{}"]
    for policy in policies:
        sns.set_topic_attributes(TopicArn=made, AttributeName="ArchivePolicy", AttributeValue=policy)
        if policy != "{}":
            with pytest.raises(ClientError, match=ARCHIVED) as caught:
                sns.delete_topic(TopicArn=made)
            assert caught.value.response["Error"]["Code"] == "InvalidState"
    sns.delete_topic(TopicArn=made)


def test_a_stack_with_an_archive_is_deleted_only_without_it(local_aws: LocalAws) -> None:
    properties = {"FifoTopic": True, "ArchivePolicy": {"MessageRetentionPeriod": 7}}
    resources = {"Topic": {"Type": "AWS::SNS::Topic", "Properties": properties}}
    stack = deploy(local_aws, resources, {"Topic": ref("Topic")})
    with pytest.raises(DeploymentFailedError, match=ARCHIVED):
        stack.delete()
    local_aws.client("sns").set_topic_attributes(
        TopicArn=stack.outputs["Topic"], AttributeName="ArchivePolicy", AttributeValue="{}"
    )
    stack.delete()


@pytest.mark.parametrize(
    ("queue", "dead", "text"),
    [
        ("a.fifo", "arn:aws:sqs:{region}:{account}:dead", DEAD),
        ("a.fifo", "arn:aws:sqs:eu-west-3:{account}:dead.fifo", ELSEWHERE),
        ("a.fifo", "arn:aws:sqs:{region}:210987654321:dead.fifo", ELSEWHERE),
    ],
    ids=["kind", "Region", "account"],
)
def test_a_dead_letter_queue_of_another_kind_or_elsewhere_is_refused(
    local_aws: LocalAws, queue: str, dead: str, text: str
) -> None:
    made, sns = topic(local_aws), local_aws.client("sns")
    endpoint = f"arn:aws:sqs:{local_aws.region}:{local_aws.account}:{queue}"
    target = dead.format(region=local_aws.region, account=local_aws.account)
    policy = json.dumps({"deadLetterTargetArn": target})
    with pytest.raises(ClientError, match=f"InvalidParameter.*{text}"):
        sns.subscribe(TopicArn=made, Protocol="sqs", Endpoint=endpoint, Attributes={"RedrivePolicy": policy})
    subscription = sns.subscribe(TopicArn=made, Protocol="sqs", Endpoint=endpoint)["SubscriptionArn"]
    with pytest.raises(ClientError, match=f"InvalidParameter.*{text}"):
        sns.set_subscription_attributes(
            SubscriptionArn=subscription, AttributeName="RedrivePolicy", AttributeValue=policy
        )
    resources = {
        "Subscription": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": made,
                "Protocol": "sqs",
                "Endpoint": endpoint,
                "RedrivePolicy": {"deadLetterTargetArn": target},
            },
        }
    }
    with pytest.raises(DeploymentFailedError, match=text):
        deploy(local_aws, resources)


@pytest.mark.parametrize("fifo", [True, False], ids=["FIFO queue of a standard topic", "no topic"])
def test_cloudformation_refuses_a_subscription_that_cannot_be(local_aws: LocalAws, fifo: bool) -> None:
    resources = {
        "Topic": {"Type": "AWS::SNS::Topic", "Properties": {}},
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": True} if fifo else {}},
        "Subscription": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": ref("Topic") if fifo else "arn:aws:sns:us-east-1:123456789012:none",
                "Protocol": "sqs",
                "Endpoint": arn("Queue"),
            },
        },
    }
    text = "FIFO SQS Queues can not be subscribed to standard" if fifo else "Topic does not exist"
    with pytest.raises(DeploymentFailedError, match=text):
        deploy(local_aws, resources)


@pytest.mark.parametrize(
    ("policy", "scope", "text"),
    [
        ({f"k{number}": ["a"] for number in range(5)}, "MessageAttributes", ""),
        ({f"k{number}": ["a"] for number in range(6)}, "MessageAttributes", "more than 5 keys"),
        ({"a": list("abcdefghij"), "b": list("abcdefghijklmno")}, "MessageAttributes", ""),
        ({"a": list("abcdefghij"), "b": list("abcdefghijklmnop")}, "MessageAttributes", "too complex"),
        ({"a": {"b": ["c"]}}, "MessageBody", ""),
        ({"a": {"b": ["c"]}}, "MessageAttributes", "does not support nested"),
    ],
)
def test_a_filter_policy_has_limits(local_aws: LocalAws, policy: object, scope: str, text: str) -> None:
    sns, name = local_aws.client("sns"), uuid.uuid4().hex[:8]
    made = sns.create_topic(Name=name)["TopicArn"]
    queue = f"arn:aws:sqs:{local_aws.region}:{local_aws.account}:{name}"
    subscribe = {"TopicArn": made, "Protocol": "sqs", "Endpoint": queue, "ReturnSubscriptionArn": True}
    attributes = {"FilterPolicyScope": scope, "FilterPolicy": json.dumps(policy)}
    if not text:
        sns.subscribe(**subscribe, Attributes=attributes)
        return
    with pytest.raises(ClientError, match=text):
        sns.subscribe(**subscribe, Attributes=attributes)
    arn = sns.subscribe(**subscribe, Attributes={"FilterPolicyScope": scope})["SubscriptionArn"]
    with pytest.raises(ClientError, match=text):
        sns.set_subscription_attributes(
            SubscriptionArn=arn, AttributeName="FilterPolicy", AttributeValue=json.dumps(policy)
        )


def test_a_stack_subscribes_to_a_topic_of_another_account_only_if_its_owner_allows_it(
    local_aws: LocalAws,
) -> None:
    theirs = local_aws.session_of("210987654321").client("sns")
    made = theirs.create_topic(Name=uuid.uuid4().hex[:8])["TopicArn"]
    resources = {
        "Queue": {"Type": "AWS::SQS::Queue", "Properties": {}},
        "Subscription": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {"TopicArn": made, "Protocol": "sqs", "Endpoint": arn("Queue")},
        },
    }
    with pytest.raises(DeploymentFailedError, match="not authorized to perform: SNS:Subscribe"):
        deploy(local_aws, resources, {})
    theirs.add_permission(
        TopicArn=made, Label="them", AWSAccountId=[local_aws.account], ActionName=["Subscribe"]
    )
    deploy(local_aws, resources, {}).delete()
