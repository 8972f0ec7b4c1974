"""Sequence numbers of FIFO queues and topics, and who sent a message."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from helpers.lambda_functions import Functions, Queue
from helpers.stacks import deploy, ref, session_of
from localaws import LocalAws

pytestmark = pytest.mark.local

SEND = """
import boto3
def handler(event, context):
    boto3.client("sqs").send_message(QueueUrl=event, MessageBody="x")
"""


def receive(aws: LocalAws, url: str) -> list[dict[str, Any]]:
    of = {"QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 5, "AttributeNames": ["All"]}
    messages: list[dict[str, Any]] = aws.client("sqs").receive_message(**of)["Messages"]
    return messages


# --- Sequence numbers


@pytest.mark.parametrize("made", ["call", "template"])
def test_the_sequence_number_sent_is_the_one_received_and_it_increases(
    local_aws: LocalAws, made: str
) -> None:
    sqs = local_aws.client("sqs")
    if made == "call":
        name = f"queue-{uuid.uuid4().hex[:8]}.fifo"
        url = sqs.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})["QueueUrl"]
    else:
        queue = {"Type": "AWS::SQS::Queue", "Properties": {"FifoQueue": True}}
        url = deploy(local_aws, {"Queue": queue}, {"Queue": ref("Queue")}).outputs["Queue"]
    message = {"QueueUrl": url, "MessageBody": "x", "MessageGroupId": "a"}
    numbers = [sqs.send_message(**message, MessageDeduplicationId=n)["SequenceNumber"] for n in "123"]
    numbers.append(sqs.send_message(**message, MessageDeduplicationId="1")["SequenceNumber"])  # once more
    entries = [
        {"Id": n, "MessageBody": "x", "MessageGroupId": "b", "MessageDeduplicationId": n} for n in "45"
    ]
    batch = sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]
    numbers += [entry["SequenceNumber"] for entry in batch]
    assert all(re.fullmatch(r"[1-9]\d{19}", number) for number in numbers)
    assert numbers[3] == numbers.pop(0)
    assert sorted(set(numbers)) == sorted(numbers)
    received = [one["Attributes"]["SequenceNumber"] for one in receive(local_aws, url)]
    assert sorted(received) == sorted(numbers)


@pytest.mark.parametrize("made", ["call", "template"])
def test_the_sequence_number_of_a_topic_is_in_its_notifications(local_aws: LocalAws, made: str) -> None:
    sns, name = local_aws.client("sns"), f"n-{uuid.uuid4().hex[:8]}.fifo"
    settings = {"FifoTopic": "true", "ContentBasedDeduplication": "true"}
    if made == "call":
        topic = sns.create_topic(Name=name, Attributes=settings)["TopicArn"]
    else:
        of = {"Type": "AWS::SNS::Topic", "Properties": {**settings, "TopicName": name}}
        topic = deploy(local_aws, {"Topic": of}, {"Topic": ref("Topic")}).outputs["Topic"]
    arn = f"arn:aws:sqs:{local_aws.region}:{local_aws.account}:{name}"
    allow = {"Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    attributes = {"FifoQueue": "true", "Policy": policy}
    url = local_aws.client("sqs").create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    published = [sns.publish(TopicArn=topic, Message=m, MessageGroupId="g")["SequenceNumber"] for m in "abc"]
    entries = [{"Id": m, "Message": m, "MessageGroupId": "g"} for m in "de"]
    batch = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)["Successful"]
    published += [entry["SequenceNumber"] for entry in batch]
    assert sorted(set(published)) == published
    received = [json.loads(message["Body"]) for message in receive(local_aws, url)]
    assert [notification["SequenceNumber"] for notification in received] == published
    for notification in received:  # as AWS sends them: messages of FIFO topics are not signed
        assert not {"Signature", "SignatureVersion", "SigningCertURL"} & notification.keys()
        assert notification["UnsubscribeURL"].endswith(f"SubscriptionArn={subscription}")


# --- Senders


def from_user(functions: Functions, queue: Queue) -> str:
    session = session_of(functions.aws, ("sqs:SendMessage", queue.arn))
    session.client("sqs").send_message(QueueUrl=queue.url, MessageBody="x")
    name = session.client("sts").get_caller_identity()["Arn"].rpartition("/")[2]
    user: str = functions.aws.client("iam").get_user(UserName=name)["User"]["UserId"]
    return user


def from_function(functions: Functions, queue: Queue) -> str:
    role = functions.role(("sqs:SendMessage", queue.arn))
    name = functions.make(SEND, role=role)
    functions.invoke(name, queue.url)
    return f"{role_id(functions, role)}:{name}"


def from_destination(functions: Functions, queue: Queue) -> str:
    role = functions.role(("sqs:SendMessage", queue.arn))
    name = functions.make("def handler(event, context): return 1", role=role)
    functions.settle(name, OnSuccess=queue.arn)
    functions.send(name)
    return f"{role_id(functions, role)}:{name}"


def from_root(functions: Functions, queue: Queue) -> str:
    functions.aws.client("sqs").send_message(QueueUrl=queue.url, MessageBody="x")
    return functions.aws.account


def from_bus(functions: Functions, queue: Queue) -> str:
    events, name = functions.aws.client("events"), queue.name
    events.put_rule(Name=name, EventPattern=json.dumps({"source": [name]}))
    events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": queue.arn}])
    events.put_events(Entries=[{"Source": name, "DetailType": "x", "Detail": "{}"}])
    return "AIDA[A-Z2-7]{17}"


def from_bucket(functions: Functions, queue: Queue) -> str:
    s3, name = functions.aws.client("s3"), queue.name
    s3.create_bucket(Bucket=name)
    to = [{"QueueArn": queue.arn, "Events": ["s3:ObjectCreated:*"]}]
    s3.put_bucket_notification_configuration(
        Bucket=name, NotificationConfiguration={"QueueConfigurations": to}, SkipDestinationValidation=True
    )
    s3.put_object(Bucket=name, Key="x", Body=b"x")
    return "AIDA[A-Z2-7]{17}"


def from_topic(functions: Functions, queue: Queue) -> str:
    functions.aws.client("sns").publish(TopicArn=functions.topic(queue), Message="x")
    return "AIDA[A-Z2-7]{17}"


def role_id(functions: Functions, arn: str) -> str:
    role = functions.aws.client("iam").get_role(RoleName=arn.rpartition("/")[2])["Role"]
    return str(role["RoleId"])


@pytest.mark.parametrize(
    ("send", "service"),
    [
        (from_user, ""),
        (from_function, ""),
        (from_destination, ""),
        (from_root, ""),
        (from_bus, "events.amazonaws.com"),
        (from_bucket, "s3.amazonaws.com"),
        (from_topic, "sns.amazonaws.com"),
    ],
)
def test_the_sender_of_a_message_is_the_unique_id_of_who_sent_it(
    functions: Functions, send: Callable[[Functions, Queue], str], service: str
) -> None:
    queue = functions.queue(writable_by=service)
    expected = send(functions, queue)
    for message in receive(functions.aws, queue.url):
        assert re.fullmatch(expected, message["Attributes"]["SenderId"])
