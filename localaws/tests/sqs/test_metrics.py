"""Metrics of queues."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from helpers.lambda_functions import eventually
from localaws import LocalAws
from localaws.services.sqs.metrics import levels

DLQ = {"DeadLetterQueueSourceArn": "arn:aws:sqs:eu-west-1:123456789012:source"}


def message(**given: Any) -> dict[str, Any]:
    """A message that was sent ten seconds before 1000 and is visible."""
    return {"visible_at": 990.0, "receive_count": 0, "sent_at": 990.0, "sys": {}} | given


@pytest.mark.parametrize(
    ("given", "fifo", "visible", "hidden", "delayed", "age"),
    [
        ([], False, 0, 0, 0, 0),
        ([message()], False, 1, 0, 0, 10),
        ([message(visible_at=1001.0)], False, 0, 0, 1, 10),
        ([message(visible_at=1001.0, receive_count=1)], False, 0, 1, 0, 10),
        ([message(receive_count=2)], False, 1, 0, 0, 10),
        ([message(receive_count=3)], False, 1, 0, 0, 0),
        ([message(receive_count=3)], True, 1, 0, 0, 10),
        ([message(sent_at=900.0), message()], False, 2, 0, 0, 100),
        ([message(sent_at=900.0, sys=DLQ)], False, 1, 0, 0, 0),
        ([message(sent_at=900.0, sys=DLQ, localaws_moved=995.0)], False, 1, 0, 0, 5),
    ],
)
def test_levels_of_a_queue(
    given: list[dict[str, Any]], fifo: bool, visible: int, hidden: int, delayed: int, age: float
) -> None:
    prefix = "ApproximateNumberOfMessages"
    assert levels(given, fifo, 1000.0) == {
        f"{prefix}Visible": visible,
        f"{prefix}NotVisible": hidden,
        f"{prefix}Delayed": delayed,
        "ApproximateAgeOfOldestMessage": age,
    }


@pytest.mark.local
def test_a_move_to_a_dead_letter_queue_is_seen_there_and_not_counted_as_sent(local_aws: LocalAws) -> None:
    sqs, cloudwatch = local_aws.client("sqs"), local_aws.client("cloudwatch")
    name = uuid.uuid4().hex
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 1})
    url = sqs.create_queue(QueueName=name, Attributes={"RedrivePolicy": redrive})["QueueUrl"]
    sqs.send_message(QueueUrl=url, MessageBody="four")
    sqs.receive_message(QueueUrl=url, VisibilityTimeout=0)

    def total(queue: str, metric: str, statistic: str = "Sum") -> float:
        now = datetime.now(UTC)
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName=metric,
            Dimensions=[{"Name": "QueueName", "Value": queue}],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(hours=1),
            Period=3600,
            Statistics=[statistic],
        )["Datapoints"]
        return sum(float(point[statistic]) for point in points)

    eventually(lambda: total(f"{name}-dead", "ApproximateNumberOfMessagesVisible", "Maximum") == 1)
    assert total(name, "NumberOfMessagesSent") == 1
    assert total(name, "SentMessageSize") == len("four")
    assert total(name, "NumberOfMessagesReceived") == 1
    assert total(f"{name}-dead", "NumberOfMessagesSent") == 0
