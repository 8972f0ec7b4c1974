"""SNS refuses messages and batches that are too large, forbidden characters, and invalid ids."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from localaws import LocalAws

pytestmark = pytest.mark.local

KB = 1024
LIMIT = 256 * KB
PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"


@pytest.fixture
def topic(empty_aws: LocalAws) -> Topic:
    return Topic(empty_aws)


class Topic:
    """A FIFO topic with a subscribed queue."""

    def __init__(self, aws: LocalAws) -> None:
        self.sns, self.sqs = aws.client("sns"), aws.client("sqs")
        attributes = {"FifoTopic": "true"}
        self.arn = self.sns.create_topic(Name="events.fifo", Attributes=attributes)["TopicArn"]
        self.queue = self.sqs.create_queue(QueueName="events.fifo", Attributes={"FifoQueue": "true"})[
            "QueueUrl"
        ]
        queue_arn = self.sqs.get_queue_attributes(QueueUrl=self.queue, AttributeNames=["QueueArn"])
        endpoint = queue_arn["Attributes"]["QueueArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": endpoint,
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.sqs.set_queue_attributes(QueueUrl=self.queue, Attributes={"Policy": policy})
        self.sns.subscribe(
            TopicArn=self.arn, Protocol="sqs", Endpoint=endpoint, Attributes={"RawMessageDelivery": "true"}
        )

    def batch(self, *entries: dict[str, Any]) -> dict[str, str]:
        """Publish a batch; returns the code of each entry that failed, or that of the request as ``*``."""
        try:
            answer = self.sns.publish_batch(TopicArn=self.arn, PublishBatchRequestEntries=list(entries))
        except ClientError as error:
            return {"*": error.response["Error"]["Code"]}
        assert all(failure["SenderFault"] for failure in answer.get("Failed", []))
        return {failure["Id"]: failure["Code"] for failure in answer.get("Failed", [])}

    def bodies(self) -> list[str]:
        """Receive what has arrived."""
        answer = self.sqs.receive_message(QueueUrl=self.queue, MaxNumberOfMessages=10)
        return [message["Body"] for message in answer.get("Messages", [])]


def entry(name: str, **more: Any) -> dict[str, Any]:
    return {
        "Id": name,
        "Message": name,
        "MessageGroupId": f"group{name}",
        "MessageDeduplicationId": f"id{name}",
        **more,
    }


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a long group id": ({"MessageGroupId": "g" * 129}, "InvalidParameter"),
    "a group id with a space": ({"MessageGroupId": "my group"}, "InvalidParameter"),
    "a group id outside ASCII": ({"MessageGroupId": "größe"}, "InvalidParameter"),
    "a long deduplication id": ({"MessageDeduplicationId": "d" * 129}, "InvalidParameter"),
    "a deduplication id with a tab": ({"MessageDeduplicationId": "a\tb"}, "InvalidParameter"),
    "a control character": ({"Message": "a\x01"}, "InvalidParameter"),
    "a noncharacter": ({"Message": "a\uffff"}, "InvalidParameter"),
    "a control character in an attribute": (
        {"MessageAttributes": {"type": {"DataType": "String", "StringValue": "a\x00"}}},
        "ParameterValueInvalid",
    ),
}


@pytest.mark.parametrize(("change", "code"), REFUSED.values(), ids=REFUSED)
def test_only_an_invalid_message_of_a_batch_is_refused(
    topic: Topic, change: dict[str, Any], code: str
) -> None:
    assert topic.batch(entry("1"), entry("2", **change), entry("3")) == {"2": code}
    assert topic.bodies() == ["1", "3"]
    assert topic.batch(entry("4", **change)) == {"4": code}


def test_all_allowed_characters_of_ids_and_bodies_pass(topic: Topic) -> None:
    ids = {"MessageGroupId": PUNCTUATION + "aZ9" * 32, "MessageDeduplicationId": PUNCTUATION + "aZ9" * 32}
    assert topic.batch(entry("1", Message="\t\n\r ü€😀\ufffd", **ids)) == {}


def test_a_batch_is_limited_as_a_whole_with_its_attributes(topic: Topic) -> None:
    half = "x" * (LIMIT // 2)
    assert topic.batch(entry("1", Message=half), entry("2", Message=half)) == {}
    attribute = {"t": {"DataType": "String", "StringValue": "v"}}
    more = entry("2", Message=half, MessageAttributes=attribute)
    assert topic.batch(entry("1", Message=half), more) == {"*": "BatchRequestTooLong"}


def test_a_single_message_is_limited(topic: Topic) -> None:
    message = {key: value for key, value in entry("1").items() if key != "Id"}
    topic.sns.publish(TopicArn=topic.arn, **message | {"Message": "ü" * (LIMIT // 2)})
    with pytest.raises(topic.sns.exceptions.InvalidParameterException, match="Message too long"):
        topic.sns.publish(TopicArn=topic.arn, **message | {"Message": "ü" * (LIMIT // 2) + "x"})
    with pytest.raises(topic.sns.exceptions.InvalidParameterException, match="MessageGroupId can only"):
        topic.sns.publish(TopicArn=topic.arn, **message | {"MessageGroupId": "my group"})


def test_a_topic_may_have_another_limit(topic: Topic) -> None:
    def limit(size: object) -> None:
        topic.sns.set_topic_attributes(
            TopicArn=topic.arn, AttributeName="MaximumMessageSize", AttributeValue=str(size)
        )

    limit(KB)
    assert topic.batch(entry("1", Message="x" * (KB + 1))) == {"*": "BatchRequestTooLong"}
    limit(KB * KB)
    assert topic.batch(*(entry(str(number), Message="x" * (KB * KB // 4)) for number in range(4))) == {}
    for size in (KB - 1, KB * KB + 1, "many"):
        with pytest.raises(topic.sns.exceptions.InvalidParameterException):
            limit(size)


def test_ids_of_entries_are_checked(topic: Topic) -> None:
    assert topic.batch(entry("a b")) == {"*": "InvalidBatchEntryId"}
    assert topic.batch(entry("a" * 81)) == {"*": "InvalidBatchEntryId"}
    assert topic.batch(entry("1"), entry("1")) == {"*": "BatchEntryIdsNotDistinct"}
    assert topic.batch(*(entry(str(number)) for number in range(11))) == {"*": "TooManyEntriesInBatchRequest"}


def test_still_needed_the_emulator_takes_any_group_id(stock_aws: LocalAws) -> None:
    topic = Topic(stock_aws)
    assert topic.batch(entry("1", MessageGroupId="my group")) == {}  # still needed
