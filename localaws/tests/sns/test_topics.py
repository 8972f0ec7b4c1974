"""Topics have the properties of their template, and undeliverable messages become dead letters."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from helpers.lambda_functions import Functions, eventually
from helpers.stacks import Resources, Stack, arn, deploy, ref, session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

QUEUE = {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": True}}


def admitting(queue: str) -> dict[str, Any]:
    """The policy of a queue that allows the topic."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn(queue),
        "Condition": {"ArnEquals": {"aws:SourceArn": ref("Topic")}},
    }
    document = {"Version": "2012-10-17", "Statement": [statement]}
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {"Queues": [ref(queue)], "PolicyDocument": document},
    }


def fanout(**topic: Any) -> Resources:
    """A FIFO topic, a subscribed queue, and its dead-letter queue."""
    return {
        "Topic": {
            "Type": "AWS::SNS::Topic",
            "Properties": {"FifoTopic": True, "ContentBasedDeduplication": True, **topic},
        },
        "Queue": QUEUE,
        "Undelivered": QUEUE,
        "Admit": admitting("Queue"),
        "AdmitUndelivered": admitting("Undelivered"),
        "Subscription": {
            "Type": "AWS::SNS::Subscription",
            "Properties": {
                "TopicArn": ref("Topic"),
                "Protocol": "sqs",
                "Endpoint": arn("Queue"),
                "RawMessageDelivery": True,
                "RedrivePolicy": {"deadLetterTargetArn": arn("Undelivered")},
            },
        },
    }


OUTPUTS = {name: ref(name) for name in ("Topic", "Queue", "Undelivered", "Subscription")}


def publish(stack: Stack, body: str, group: str = "group", **more: str) -> str:
    """Publish a message; returns its sequence number."""
    answer = stack.aws.client("sns").publish(
        TopicArn=stack.outputs["Topic"], Message=body, MessageGroupId=group, **more
    )
    number: str = answer["SequenceNumber"]
    return number


def receive(stack: Stack, queue: str = "Queue") -> list[dict[str, Any]]:
    """Receive and delete the messages in a queue."""
    sqs, url = stack.aws.client("sqs"), stack.outputs[queue]
    answer = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"]
    )
    found: list[dict[str, Any]] = answer.get("Messages", [])
    for message in found:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_a_fifo_topic_in_a_template_has_its_settings_and_a_fifo_name(local_aws: LocalAws) -> None:
    archive = {"MessageRetentionPeriod": 3}
    stack = deploy(local_aws, fanout(FifoThroughputScope="MessageGroup", ArchivePolicy=archive), OUTPUTS)
    topic = stack.outputs["Topic"]
    assert topic.endswith(".fifo")
    attributes = local_aws.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
    assert attributes["FifoTopic"] == attributes["ContentBasedDeduplication"] == "true"
    assert attributes["FifoThroughputScope"] == "MessageGroup"
    assert json.loads(attributes["ArchivePolicy"]) == archive
    stack.update(fanout(ContentBasedDeduplication=False), OUTPUTS)
    assert stack.outputs["Topic"] == topic
    attributes = local_aws.client("sns").get_topic_attributes(TopicArn=topic)["Attributes"]
    assert attributes["ContentBasedDeduplication"] == "false"
    assert "ArchivePolicy" not in attributes


def test_messages_arrive_in_order_once_and_numbered(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, fanout(), OUTPUTS)
    numbers = [publish(stack, body) for body in ("1", "2", "2", "3")]
    assert numbers[1] == numbers[2]
    assert numbers[0] < numbers[1] < numbers[3]
    arrived = receive(stack)
    assert [message["Body"] for message in arrived] == ["1", "2", "3"]
    sequence = [message["Attributes"]["SequenceNumber"] for message in arrived]
    assert sequence == sorted(set(sequence))
    assert arrived[0]["Attributes"]["MessageGroupId"] == "group"


def test_the_queue_too_knows_a_deduplication_id(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, fanout(), OUTPUTS)
    sqs = local_aws.client("sqs")
    publish(stack, "by topic", MessageDeduplicationId="one")
    sqs.send_message(
        QueueUrl=stack.outputs["Queue"],
        MessageBody="direct",
        MessageGroupId="g",
        MessageDeduplicationId="one",
    )
    assert [message["Body"] for message in receive(stack)] == ["by topic"]


@pytest.mark.parametrize("scope", ["MessageAttributes", "MessageBody"])
def test_a_filter_policy_in_a_template_passes_only_matching_messages(local_aws: LocalAws, scope: str) -> None:
    template = fanout()
    template["Subscription"]["Properties"] |= {"FilterPolicy": {"type": ["paid"]}, "FilterPolicyScope": scope}
    stack = deploy(local_aws, template, OUTPUTS)
    for number, type_ in enumerate(("placed", "paid", "noted", "paid")):
        local_aws.client("sns").publish(
            TopicArn=stack.outputs["Topic"],
            Message=json.dumps({"type": type_ if scope == "MessageBody" else "paid", "number": number}),
            MessageAttributes={
                "type": {
                    "DataType": "String",
                    "StringValue": type_ if scope == "MessageAttributes" else "paid",
                }
            },
            MessageGroupId="group",
        )
    assert [json.loads(message["Body"])["number"] for message in receive(stack)] == [1, 3]
    assert receive(stack, "Undelivered") == []


@pytest.mark.parametrize("broken", ["no policy", "no queue"])
def test_an_undeliverable_message_goes_to_the_dead_letter_queue(local_aws: LocalAws, broken: str) -> None:
    resources = fanout()
    if broken == "no policy":
        del resources["Admit"]
    stack = deploy(local_aws, resources, OUTPUTS)
    if broken == "no queue":
        local_aws.client("sqs").delete_queue(QueueUrl=stack.outputs["Queue"])
    publish(stack, "kept")
    [message] = receive(stack, "Undelivered")
    assert message["Body"] == "kept"
    assert message["MessageAttributes"]["ERROR_CODE"]["StringValue"]


def test_a_queue_that_does_not_allow_the_topic_gets_no_dead_letters_either(local_aws: LocalAws) -> None:
    resources = fanout()
    del resources["Admit"], resources["AdmitUndelivered"]
    stack = deploy(local_aws, resources, OUTPUTS)
    publish(stack, "lost")
    assert receive(stack) == receive(stack, "Undelivered") == []


def test_an_archive_is_replayed_from_a_moment_on(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, fanout(ArchivePolicy={"MessageRetentionPeriod": 1}), OUTPUTS)
    publish(stack, "before")
    time.sleep(0.01)  # the message is older than the moment
    moment = datetime.now(UTC).isoformat()
    numbers = [publish(stack, "after"), publish(stack, "last")]
    assert len(receive(stack)) == 3
    policy = json.dumps({"PointType": "Timestamp", "StartingPoint": moment})
    for name, value in (("RawMessageDelivery", "false"), ("ReplayPolicy", policy)):
        local_aws.client("sns").set_subscription_attributes(
            SubscriptionArn=stack.outputs["Subscription"], AttributeName=name, AttributeValue=value
        )
    replayed = [json.loads(message["Body"]) for message in eventually(lambda: receive(stack))]
    assert [message["Message"] for message in replayed] == ["after", "last"]
    assert [message["SequenceNumber"] for message in replayed] == numbers


def test_a_permission_to_publish_allows_publishing_a_batch(local_aws: LocalAws) -> None:
    stack = deploy(local_aws, fanout(), OUTPUTS)
    entries = [{"Id": "1", "Message": "1", "MessageGroupId": "g"}]
    topic = stack.outputs["Topic"]
    session = session_of(local_aws, ("sns:Publish", topic))
    answer = session.client("sns").publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert len(answer["Successful"]) == 1
    stranger = session_of(local_aws, ("sns:GetTopicAttributes", topic)).client("sns")
    with pytest.raises(stranger.exceptions.AuthorizationErrorException):
        stranger.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)


def test_still_needed_the_emulator_creates_a_standard_topic(stock_aws: LocalAws) -> None:
    stack = deploy(stock_aws, fanout(), OUTPUTS)
    attributes = stock_aws.client("sns").get_topic_attributes(TopicArn=stack.outputs["Topic"])["Attributes"]
    assert "FifoTopic" not in attributes  # still needed


def test_still_needed_the_emulator_refuses_batches_that_policies_allow(stock_aws: LocalAws) -> None:
    topic = stock_aws.client("sns").create_topic(Name="batches")["TopicArn"]
    session = session_of(stock_aws, ("sns:Publish", topic))
    with pytest.raises(Exception, match="sns:PublishBatch"):  # still needed
        session.client("sns").publish_batch(
            TopicArn=topic, PublishBatchRequestEntries=[{"Id": "1", "Message": "1"}]
        )


@pytest.mark.parametrize("missing", [False, True])
def test_a_message_for_a_function_that_cannot_be_invoked_becomes_a_dead_letter(
    functions: Functions, missing: bool
) -> None:
    sns, dead = functions.aws.client("sns"), functions.queue(writable_by="sns.amazonaws.com")
    name = functions.make("def handler(event, context): pass")
    made = sns.create_topic(Name=dead.name)["TopicArn"]
    sns.subscribe(
        TopicArn=made,
        Protocol="lambda",
        Endpoint=functions.arn("lambda", f"function:{name}"),
        Attributes={"RedrivePolicy": json.dumps({"deadLetterTargetArn": dead.arn})},
    )
    if missing:
        functions.aws.client("lambda").delete_function(FunctionName=name)
    value = {"DataType": "String", "StringValue": "high"}
    sent = sns.publish(TopicArn=made, Message="hello", MessageAttributes={"severity": value})["MessageId"]
    letter = dead.wait()
    body = json.loads(letter["Body"])
    assert (body["Type"], body["MessageId"], body["Message"]) == ("Notification", sent, "hello")
    code = letter["MessageAttributes"]["ERROR_CODE"]["StringValue"]
    assert code == ("ResourceNotFoundException" if missing else "AccessDeniedException")
    assert letter["MessageAttributes"]["severity"]["StringValue"] == "high"
